import { type FrameEntry, frameLog } from '../../net/frame_log.ts';
import { readJson } from '../../text/json_text.ts';
import { JsonTree } from '../../text/json_tree.tsx';
import { Text } from '../../text/text.tsx';
import { CopyButton } from '../../ui/copy_button.tsx';
import { peers } from './peers.ts';

interface FrameDetailProps {
  entry: FrameEntry;
  onGo: (n: number) => void;
}

function parsed(raw: string): unknown {
  try {
    return readJson(raw);
  } catch {
    return undefined;
  }
}

/** The frame that was chosen: parsed only now. */
export function FrameDetail({ entry, onGo }: FrameDetailProps) {
  const value = parsed(entry.raw);
  const partner = frameLog.all().find(other => other.n === entry.partner);
  const open = peers.all.find(peer => peer.name === entry.connection && peer.state === 'open');
  return (
    <div class="frame-detail">
      <div class="row">
        <b class="mono">{entry.type}</b>
        {partner !== undefined && (
          <button type="button" class="link" onClick={() => onGo(partner.n)}>
            {entry.out ? 'its answer' : 'its request'}: {partner.type}, {entry.roundTrip} ms
          </button>
        )}
        <span class="spacer" />
        {entry.out && open !== undefined && (
          <button type="button" onClick={() => open.sendRaw(entry.raw)}>
            Send again
          </button>
        )}
        <CopyButton text={() => entry.raw} label="copy raw" />
      </div>
      {value === undefined ? (
        <pre class="mono">
          <Text value={entry.raw || '(its text was dropped to save memory)'} />
        </pre>
      ) : (
        <JsonTree value={value} />
      )}
    </div>
  );
}
