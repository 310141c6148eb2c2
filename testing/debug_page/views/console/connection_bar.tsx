import { useState } from 'preact/hooks';
import type { Connection } from '../../net/connection.ts';
import { link } from '../../net/hub_link.ts';
import { useLive } from '../../state/live.ts';
import { peers } from './peers.ts';

const DOTS = { connecting: 'dot-hollow', open: 'dot-good', closed: 'dot-closed' };

function wordsOf(connection: Connection): string {
  const { closed } = connection;
  if (closed === undefined) return connection.state;
  if (!closed.wasOpen) return 'refused';
  return `closed ${closed.code} ${closed.reason}`.trim();
}

function Chip({ connection }: { connection: Connection }) {
  const chosen = peers.selected === connection;
  return (
    <span class={`chip ${chosen ? 'chosen' : ''}`} data-state={connection.state}>
      <button type="button" class="chip-name" aria-pressed={chosen} onClick={() => peers.select(connection)}>
        <i class={`dot ${DOTS[connection.state]}`} /> {connection.name}
        {connection.state !== 'open' && <span class="muted"> {wordsOf(connection)}</span>}
      </button>
      <button
        type="button"
        class="quiet"
        aria-label={`${connection.state === 'closed' ? 'Remove' : 'Close'} ${connection.name}`}
        onClick={() => peers.close(connection)}
      >
        ✕
      </button>
    </span>
  );
}

export function ConnectionBar() {
  useLive('connections', 'link');
  const [clientId, setClientId] = useState('console');
  return (
    <div class="connections">
      <span class="muted">connections to {link.hub.replace(/^wss?:\/\//, '')}</span>
      {peers.all.map(connection => (
        <Chip key={connection.name} connection={connection} />
      ))}
      <span class="chip-new">
        <input
          class="mono"
          aria-label="client id"
          size={9}
          value={clientId}
          onInput={event => setClientId(event.currentTarget.value)}
        />
        <button type="button" onClick={() => peers.open('client', clientId)}>
          + client
        </button>
      </span>
      <button type="button" onClick={() => peers.open('worker')}>
        + worker
      </button>
      <button type="button" onClick={() => peers.open('monitor')}>
        + monitor
      </button>
    </div>
  );
}
