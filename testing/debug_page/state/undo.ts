// What was just done and can still be taken back, for a few seconds. What the hub can undo is done at once and undone
// by its inverse; what it cannot, as a cancel, is held back for so long and is only then asked for.

import { touch } from './live.ts';

export const UNDO_MS = 5000;
const SAID_MS = 6000;

export interface Offer {
  readonly n: number;
  text: string;
  /** How long the offer stands, by performance.now(). */
  readonly until: number;
  /** Undefined once it is too late, or was used. */
  undo: (() => void) | undefined;
  /** Of what is held back: not to wait any longer. */
  now: (() => void) | undefined;
}

let offers: readonly Offer[] = [];
let made = 0;

/** Newest last. */
export const openOffers = () => offers;

/** It is done. `inverse` undoes it, and says what it did. */
export function offerUndo(text: string, inverse: () => Promise<string>): void {
  const offer = add(text);
  const timer = setTimeout(() => remove(offer), UNDO_MS);
  offer.undo = () => {
    clearTimeout(timer);
    void finish(offer, 'undoing…', inverse);
  };
}

/** It is done in a few seconds, unless somebody says otherwise. `run` does it, and says what it did. */
export function holdBack(text: string, run: () => Promise<string>): void {
  const offer = add(text);
  const go = () => {
    clearTimeout(timer);
    void finish(offer, `${text}…`, run);
  };
  const timer = setTimeout(go, UNDO_MS);
  offer.now = go;
  offer.undo = () => {
    clearTimeout(timer);
    void finish(offer, '', () => Promise.resolve('nothing was done'));
  };
}

/** Takes back the newest that can be taken back, as Ctrl+Z does; false when there is none. */
export function undoNewest(): boolean {
  const newest = offers.findLast(offer => offer.undo !== undefined);
  newest?.undo?.();
  return newest !== undefined;
}

function add(text: string): Offer {
  const until = performance.now() + UNDO_MS;
  const offer: Offer = { n: made++, text, until, undo: undefined, now: undefined };
  offers = [...offers, offer];
  touch('undo');
  return offer;
}

function remove(offer: Offer): void {
  offers = offers.filter(other => other !== offer);
  touch('undo');
}

async function finish(offer: Offer, meanwhile: string, run: () => Promise<string>): Promise<void> {
  offer.undo = offer.now = undefined;
  offer.text = meanwhile;
  touch('undo');
  offer.text = await run().catch((error: Error) => error.message);
  touch('undo');
  setTimeout(() => remove(offer), SAID_MS);
}
