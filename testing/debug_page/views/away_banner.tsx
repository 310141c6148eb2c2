import { useState } from 'preact/hooks';
import { readAddress } from '../net/hub_address.ts';
import { link } from '../net/hub_link.ts';
import { useLive } from '../state/live.ts';
import { clock, duration } from '../text/format.ts';
import { Text } from '../text/text.tsx';
import { Glyph } from '../ui/glyph.tsx';

/** Says which part is away, what is tried, and lets one change the address. */
export function AwayBanner() {
  useLive('link', 'second');
  if (link.state === 'live' || (link.state === 'connecting' && link.away === undefined)) return null;
  const { text, hint } = link.away ?? { text: `Connecting to ${link.hub}…`, hint: '' };
  const wait = Math.max(0, Math.ceil((link.nextTryAt - performance.now()) / 1000));
  const next = link.state === 'connecting' ? 'trying now' : `try ${link.tries + 1} in ${wait}s`;
  return (
    <section class="banner" aria-live="polite" data-part={link.away?.part}>
      <p>
        <span class="tone-bad">
          <Glyph name="warning" />
        </span>{' '}
        <b>
          <Text value={text} />
        </b>{' '}
        <Text value={hint} />
      </p>
      <p class="muted">
        {lastData()} <span class="mono">{link.hub}</span> · {next}
      </p>
      <AddressForm />
    </section>
  );
}

function lastData(): string {
  if (link.lostAt === undefined) return '';
  return `Showing the picture of ${clock(link.lostAt)}, ${duration(Date.now() - link.lostAt)} old.`;
}

function AddressForm() {
  const [address, setAddress] = useState(link.hub);
  const [token, setToken] = useState(link.token);
  const wanted = readAddress(address);
  const submit = (event: Event) => {
    event.preventDefault();
    if (wanted === undefined) return;
    link.goTo(wanted, token);
    location.hash = `#/${location.hash.split('/')[1]?.split('?')[0] ?? 'overview'}?hub=${wanted}`;
  };
  return (
    <form class="address" onSubmit={submit}>
      <label>
        hub{' '}
        <input
          class="mono"
          value={address}
          aria-invalid={wanted === undefined}
          onInput={event => setAddress(event.currentTarget.value)}
        />
      </label>
      <label>
        token{' '}
        <input
          type="password"
          autocomplete="off"
          placeholder="none"
          value={token}
          onInput={event => setToken(event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="primary" disabled={wanted === undefined}>
        Connect now
      </button>
    </form>
  );
}
