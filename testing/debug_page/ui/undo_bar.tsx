import { useLive } from '../state/live.ts';
import { type Offer, openOffers } from '../state/undo.ts';
import { Text } from '../text/text.tsx';

/** At the foot of the page: what was just done, and the seconds left to take it back. */
export function UndoBar() {
  useLive('undo', 'second');
  return (
    <div class="undo-bar" role="status">
      {openOffers().map(offer => (
        <Line key={offer.n} offer={offer} />
      ))}
    </div>
  );
}

function Line({ offer: { text, until, undo, now } }: { offer: Offer }) {
  const left = Math.max(0, Math.ceil((until - performance.now()) / 1000));
  return (
    <p class="undo">
      <span>
        <Text value={text} max={300} />
        {now !== undefined && ` in ${left} s`}
      </span>
      {undo !== undefined && (
        <button type="button" class="primary" onClick={undo}>
          Undo{now === undefined && ` (${left} s)`} <kbd class="wide-only">Ctrl Z</kbd>
        </button>
      )}
      {now !== undefined && (
        <button type="button" onClick={now}>
          Now
        </button>
      )}
    </p>
  );
}
