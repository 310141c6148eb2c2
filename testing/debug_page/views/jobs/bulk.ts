// One request for each of many jobs, and what became of them in one sentence.

import { type Frame, RefusedError } from '../../net/connection.ts';
import { count } from '../../text/format.ts';

/** So many requests are under way at once: a bulk action must not crowd out the rest. */
const AT_ONCE = 16;

const WORDS: Record<string, string> = {
  conflict: 'had ended already',
  not_found: 'are not known to the hub any more',
};

interface Outcome<T> {
  /** What the hub did, with its answers. */
  done: { item: T; answer: Frame }[];
  /** `334 cancelled, 2 had ended already` */
  text: string;
}

/** Asks for each; never rejects. `verb` says what is done, as `cancelled`. */
export async function askForEach<T>(
  items: readonly T[],
  verb: string,
  ask: (item: T) => Promise<Frame>,
): Promise<Outcome<T>> {
  const done: Outcome<T>['done'] = [];
  const others = new Map<string, number>();
  const waiting = [...items];
  const next = async (): Promise<void> => {
    const item = waiting.shift();
    if (item === undefined) return;
    await ask(item).then(
      answer => done.push({ item, answer }),
      (error: Error) => {
        const why = error instanceof RefusedError ? (WORDS[error.code] ?? error.code) : error.message;
        others.set(why, (others.get(why) ?? 0) + 1);
      },
    );
    return next();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  const parts = [
    ...(done.length > 0 || others.size === 0 ? [`${count(done.length)} ${verb}`] : []),
    ...[...others].map(([why, jobs]) => `${count(jobs)} ${why}`),
  ];
  return { done, text: parts.join(', ') };
}
