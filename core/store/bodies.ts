import { MAX_ATTEMPTS_DEFAULT } from '../messages/job.ts';

/** What a worker is sent of a job that leaves these as they are: then they are not stored with it. */
export const USUAL_SETTINGS = `"max_attempts":${MAX_ATTEMPTS_DEFAULT},"run_timeout_ms":null,"metadata":null`;
const OWN_SETTINGS = /^("traceparent":"[^"]*",)?"max_attempts"/;
/** Between the members that a worker is sent and the others; the texts of both have none. */
export const BREAK = '\n';

/** The members a worker is sent: job_type, params, max_attempts, run_timeout_ms, metadata. */
export function assignmentText(body: string): string {
  const end = body.indexOf(BREAK);
  const members = end < 0 ? body : body.slice(0, end);
  return OWN_SETTINGS.test(members) ? members : `${members},${USUAL_SETTINGS}`;
}

/** The whole submission as JSON. */
export function submissionText(body: string): string {
  const end = body.indexOf(BREAK);
  const others = end < 0 ? '' : `,${body.slice(end + BREAK.length)}`;
  return `{${assignmentText(body)}${others}}`;
}

/** What is kept at most, in characters: some thousand usual jobs. */
const CHARACTERS_MAX = 32 * 1024 * 1024;
/** A claim asks Redis for the body of a job that waited longer than this (ms). */
export const BODY_KEEP_MS = 50_000;
/** Beyond it a body waits for nobody: its job was cancelled, or another hub has it. Later than scripts rely on. */
const FORGET_MS = 2 * BODY_KEEP_MS;
/** How often it is looked for such: the holes that taken bodies leave at the front of a Map are passed one by one. */
const LOOK_MS = 1000;

interface Kept {
  body: string;
  at: number;
}

/**
 * The bodies of jobs that this hub has accepted a moment ago: most are claimed by the same hub soon, and then need not
 * come back through a script (worth 9 % of the time of Redis in a flood).
 *
 * The record of a job names the hub that keeps its body, and only one whose submission made that record, or may have, may
 * keep it; so what is kept under a ref is what Redis holds if the record names this hub.
 */
export class Bodies {
  readonly #kept = new Map<string, Kept>();
  readonly #now: () => number;
  #characters = 0;
  #look_at = 0;

  /** @param now ms, monotonic */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** False when there is no room, or something is kept under this ref already. */
  keep(ref: string, body: string): boolean {
    const now = this.#now();
    if (now >= this.#look_at) this.#forgetOld(now);
    if (this.#kept.has(ref) || this.#characters + body.length > CHARACTERS_MAX) return false;
    this.#kept.set(ref, { body, at: now });
    this.#characters += body.length;
    return true;
  }

  /** The body, which is not kept any longer. */
  take(ref: string): string | undefined {
    const kept = this.#kept.get(ref);
    if (kept === undefined) return undefined;
    this.#kept.delete(ref);
    this.#characters -= kept.body.length;
    return kept.body;
  }

  clear(): void {
    this.#kept.clear();
    this.#characters = 0;
  }

  #forgetOld(now: number): void {
    this.#look_at = now + LOOK_MS;
    for (const [ref, { at }] of this.#kept) {
      if (now - at < FORGET_MS) return;
      this.take(ref);
    }
  }
}
