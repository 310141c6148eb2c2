import type { EventType, WatchLevel } from '../messages/job.ts';
import { TERMINAL_EVENTS } from '../messages/job.ts';
import { idOf, refOf } from '../store/keys.ts';
import type { JobEvent, Store, StoredJob, StoredOutput } from '../store/store.ts';
import { lastOutput, makeEvent } from '../store/effects.ts';

/** Whoever is told events: a client's socket, or an HTTP answer. */
export interface Listener {
  event(event: JobEvent, frame: string): void;
  /** Redis lost a job it watched: no event of it will come. */
  lost?(): void;
}

/** One listener's watch on one job. The watches on a job are a chain: nearly all jobs have just one. */
export interface Watch {
  readonly listener: Listener;
  readonly ref: string;
  /** The others on the same job. */
  before: Watch | undefined;
  after: Watch | undefined;
  level: WatchLevel;
  /** How many answers and replays belong before its events. */
  holds: number;
  /** The events that wait for them; few watches ever have any. */
  held: JobEvent[] | null;
  /** Was one of those answers a yes? */
  granted: boolean;
  /** The last seq told, and the next output. */
  seq: number;
  output: number;
}

/** What a replay tells of the output of a job. */
interface KeptOutput {
  /** The first index that the watcher lacks. */
  from: number;
  outputs: StoredOutput[];
}

/** What a level leaves out beside the end of the job. */
const ALL_ONLY: ReadonlySet<EventType> = new Set<EventType>(['job_queued', 'job_scheduled', 'job_assigned']);
/** Jobs that are asked for at once. */
const CATCH_UP_MAX = 100;
/** When a Redis that is there did not answer. */
const CATCH_UP_AGAIN_MS = 1000;
const UNNUMBERED: ReadonlySet<EventType> = new Set<EventType>(['job_progress', 'job_output']);

export function frameOf(event: JobEvent): string {
  const fields = event.fields === '' ? '' : `,${event.fields}`;
  return `{"type":"${event.type}","job_id":"${event.job_id}","seq":${event.seq},"at":${event.at},"attempt":${event.attempt}${fields}}`;
}

const wants = (level: WatchLevel, type: EventType) =>
  level === 'all' || TERMINAL_EVENTS.has(type) || (level === 'default' && !ALL_ONLY.has(type));

/** Does it tell of output that the watcher lacks? Then it does no longer. */
function isNewOutput(watch: Watch, event: JobEvent): boolean {
  const last = lastOutput(event) as number;
  if (last < watch.output) return false;
  watch.output = last + 1;
  return true;
}

/** Is it progress or output of a lease before the one that the record has? */
const isOver = ({ type, seq }: JobEvent, job: StoredJob) =>
  UNNUMBERED.has(type) && seq < (job.fields.an ?? 0);

/**
 * Tells watchers of jobs what happens to them: each event once, `seq` strictly growing, the terminal one always. A frame
 * for many watchers is written once.
 */
export class Broadcaster {
  readonly #store: Store;
  /** The first watch on each job. */
  readonly #jobs = new Map<string, Watch>();
  readonly #of = new Map<Listener, Set<Watch>>();
  /** Held until the records were read: hints may have been missed. */
  readonly #doubtful = new Set<Watch>();

  constructor(store: Store) {
    this.#store = store;
    store.onEffect(effect => {
      if (effect.kind === 'event') this.#deliver(effect.event);
    });
    store.onDown(() => this.#holdAll());
    store.onUp(() => {
      this.#holdAll();
      void this.#catchUp();
    });
  }

  /**
   * Sets a watch, or takes the one that the listener has on the job; its events wait until `grant` or `refuse`, so that
   * the answer comes first. What was told stays told.
   */
  hold(listener: Listener, ref: string, level: WatchLevel): Watch {
    const after = this.#jobs.get(ref);
    const former = watchOf(listener, after);
    if (former) {
      former.holds += 1;
      return former;
    }
    const watch: Watch = {
      listener,
      ref,
      before: undefined,
      after,
      level,
      holds: 1,
      held: null,
      granted: false,
      seq: 0,
      output: 0,
    };
    if (after) after.before = watch;
    this.#jobs.set(ref, watch);
    const of = this.#of.get(listener);
    if (of) of.add(watch);
    else this.#of.set(listener, new Set([watch]));
    return watch;
  }

  /** The answer was yes: from now on it is told what its level says. */
  grant(watch: Watch, level: WatchLevel): void {
    watch.level = level;
    watch.granted = true;
    this.#release(watch);
  }

  /** The answer was no, or that the job has ended: what was watched before stays watched. */
  refuse(watch: Watch): void {
    if (watch.granted || watch.holds > 1) this.#release(watch);
    else this.end(watch);
  }

  /** Lets the events of a watch go out when nothing else holds them. */
  #release(watch: Watch): void {
    watch.holds -= 1;
    if (watch.holds > 0) return;
    const { held } = watch;
    if (held === null) return;
    watch.held = null;
    for (const event of held) this.#tell(watch, event, frameOf(event));
  }

  drop(listener: Listener, ref: string): void {
    const watch = watchOf(listener, this.#jobs.get(ref));
    if (watch) this.end(watch);
  }

  /** Nothing more is told to it. */
  end(watch: Watch): void {
    const { listener, ref, before, after } = watch;
    const of = this.#of.get(listener);
    if (!of?.delete(watch)) return;
    watch.held = null;
    this.#doubtful.delete(watch);
    if (of.size === 0) this.#of.delete(listener);
    if (after) after.before = before;
    if (before) before.after = after;
    else if (after) this.#jobs.set(ref, after);
    else this.#jobs.delete(ref);
  }

  /** The listener is gone. */
  dropAll(listener: Listener): void {
    for (const watch of [...(this.#of.get(listener) ?? [])]) this.end(watch);
  }

  /** How many jobs the listener watches. */
  watching(listener: Listener): number {
    return this.#of.get(listener)?.size ?? 0;
  }

  /**
   * Watches jobs as they are from now on. `answer` is called with their records, then what happened after the given seq
   * and output follows, then live events.
   *
   * @throws HubError `unavailable`
   */
  async watch(
    listener: Listener,
    job_ids: string[],
    after: { seq: Record<string, number>; output: Record<string, number> },
    answer: (jobs: (StoredJob | null)[]) => void,
  ): Promise<void> {
    const ids = [...new Set(job_ids)];
    const watches = ids.map(id => this.hold(listener, refOf(id), 'all'));
    let jobs: (StoredJob | null)[];
    let outputs: (KeptOutput | null)[];
    try {
      jobs = await this.#store.watch(ids, 'all');
      outputs = await inTurn(jobs, job => this.#keptOutputs(job, after));
    } catch (error) {
      for (const watch of watches) this.refuse(watch);
      throw error;
    }
    answer(jobs);
    jobs.forEach((job, i) => {
      const watch = watches[i] as Watch;
      if (job === null) this.end(watch);
      else this.#replay(watch, job, outputs[i] as KeptOutput | null, own(after.seq, ids[i] as string));
    });
  }

  async #keptOutputs(
    job: StoredJob | null,
    after: { seq: Record<string, number>; output: Record<string, number> },
  ): Promise<KeptOutput | null> {
    if (job === null || job.fields.oi === undefined) return null;
    const { an = 0 } = job.fields;
    const id = idOf(job.ref);
    const [seq, output] = [own(after.seq, id), own(after.output, id)];
    // An index belongs to the assignment its seq falls in: of a newer one everything is told.
    const is_older = seq !== undefined && seq < an;
    if (!is_older && output === undefined) return null;
    const from = is_older || output === undefined ? 0 : output + 1;
    return { from, outputs: await this.#store.outputs(id, from) };
  }

  /** A new watch replaces the former one of the listener. */
  #replay(watch: Watch, job: StoredJob, output: KeptOutput | null, after_seq: number | undefined): void {
    const was_dropped = !this.#of.get(watch.listener)?.has(watch);
    if (was_dropped) return;
    watch.level = 'all';
    watch.granted = true;
    watch.seq = after_seq ?? job.fields.n;
    watch.output = 0;
    this.#tellKept(watch, job, after_seq === undefined ? [] : job.eventsAfter(after_seq), output);
  }

  /** What was kept, in the order in which it happened, then what came meanwhile. */
  #tellKept(watch: Watch, job: StoredJob, events: JobEvent[], output: KeptOutput | null): void {
    const held = watch.held ?? [];
    // Output falls between the start of its lease and whatever came of that.
    const begun = Math.max(job.fields.an ?? 0, job.fields.tn ?? 0);
    for (const event of events) if (event.seq <= begun) this.#tell(watch, event, frameOf(event));
    // Assigned anew since the record was read: it is not known whose output was read behind it.
    const moved = held.some(({ type, seq }) => type === 'job_assigned' && seq > job.fields.n);
    if (output && !moved) this.#replayOutput(watch, job, output);
    for (const event of events) if (event.seq > begun) this.#tell(watch, event, frameOf(event));
    watch.output = Math.max(watch.output, job.fields.oi ?? 0);
    watch.seq = Math.max(watch.seq, job.fields.n);
    if (job.ended) return this.end(watch);
    watch.held = held.filter(event => !isOver(event, job));
    this.#release(watch);
  }

  /** What was trimmed, or never came, is a gap; it was given no seq of its own, or one that is not kept. */
  #replayOutput(watch: Watch, job: StoredJob, { from, outputs }: KeptOutput): void {
    const { n, oi } = job.fields;
    const tell = (type: EventType, parts: (string | number)[]) => {
      const event = makeEvent(type, job.ref, watch.seq, Math.floor(n / 1000), job.lease_attempt, parts);
      watch.listener.event(event, frameOf(event));
    };
    let next = from;
    const passTo = (index: number) => {
      if (index > next) tell('job_output_gap', [next, index - 1]);
      next = Math.max(next, index);
    };
    for (const { index, data } of outputs) {
      passTo(index);
      tell('job_output', [index, data]);
      next = index + 1;
    }
    passTo(oi ?? 0);
    const last = outputs.at(-1);
    watch.output = last === undefined ? 0 : last.index + 1;
  }

  #watchesOn(ref: string): Watch[] {
    const watches: Watch[] = [];
    for (let watch = this.#jobs.get(ref); watch; watch = watch.after) watches.push(watch);
    return watches;
  }

  #deliver(event: JobEvent): void {
    let frame: string | undefined;
    let next: Watch | undefined;
    for (let watch = this.#jobs.get(event.ref); watch; watch = next) {
      // It may end as it is told.
      next = watch.after;
      if (watch.holds > 0) (watch.held ??= []).push(event);
      else this.#tell(watch, event, (frame ??= frameOf(event)));
    }
  }

  #tell(watch: Watch, event: JobEvent, frame: string): void {
    const { listener } = watch;
    if (UNNUMBERED.has(event.type)) {
      if (event.type === 'job_output' && !isNewOutput(watch, event)) return;
      if (watch.level !== 'end') listener.event(event, frame);
      return;
    }
    if (event.seq <= watch.seq) return;
    watch.seq = event.seq;
    if (event.type === 'job_output_gap' && !isNewOutput(watch, event)) return;
    // An assignment starts its output anew; not every watcher is told of it before its first sign.
    if (event.type === 'job_assigned' || event.type === 'job_started') watch.output = 0;
    if (wants(watch.level, event.type)) listener.event(event, frame);
    if (TERMINAL_EVENTS.has(event.type)) this.end(watch);
  }

  /** What comes now waits: progress must not be told before the start that a lost reply would have told. */
  #holdAll(): void {
    for (const ref of this.#jobs.keys()) {
      for (const watch of this.#watchesOn(ref)) {
        // Of one not granted yet the answer will say how things are.
        if (!watch.granted || this.#doubtful.has(watch)) continue;
        watch.holds += 1;
        this.#doubtful.add(watch);
      }
    }
  }

  /** Hints may have been missed: tells what the records say happened since, then what came meanwhile. */
  async #catchUp(): Promise<void> {
    const refs = [...new Set([...this.#doubtful].map(({ ref }) => ref))];
    for (let i = 0; i < refs.length; i += CATCH_UP_MAX) {
      const part = refs.slice(i, i + CATCH_UP_MAX);
      let jobs: (StoredJob | null)[];
      let outputs: StoredOutput[][];
      try {
        jobs = await this.#store.watch(part.map(idOf), 'all');
        outputs = await inTurn(part, (ref, at) => this.#missedOutputs(ref, jobs[at]));
      } catch {
        return this.#catchUpLater();
      }
      // Away again: the next time it is there all of this begins anew.
      if (!this.#store.up) return;
      for (const [at, ref] of part.entries()) {
        for (const watch of this.#watchesOn(ref))
          if (this.#doubtful.delete(watch)) this.#tellMissed(watch, jobs[at] ?? null, outputs[at] ?? []);
      }
    }
  }

  /** Redis is there and did not answer: what is in doubt stays held. */
  #catchUpLater(): void {
    if (!this.#store.up) return;
    setTimeout(() => void this.#catchUp(), CATCH_UP_AGAIN_MS).unref();
  }

  /** The output that some doubtful watch on the job lacks. */
  async #missedOutputs(ref: string, job: StoredJob | null | undefined): Promise<StoredOutput[]> {
    if (!job) return [];
    const watches = this.#watchesOn(ref).filter(watch => this.#doubtful.has(watch));
    const from = Math.min(...watches.map(watch => missingFrom(watch, job)));
    return from < (job.fields.oi ?? 0) ? this.#store.outputs(idOf(ref), from) : [];
  }

  /** @param job its record, null when Redis has none */
  #tellMissed(watch: Watch, job: StoredJob | null, outputs: StoredOutput[]): void {
    if (job === null) {
      this.end(watch);
      watch.listener.lost?.();
      return;
    }
    const from = missingFrom(watch, job);
    const output = { from, outputs: outputs.filter(({ index }) => index >= from) };
    this.#tellKept(watch, job, job.eventsAfter(watch.seq), from === Infinity ? null : output);
  }
}

/** The first output of the present lease that the watch was not told of. */
function missingFrom({ level, seq, output }: Watch, job: StoredJob): number {
  if (level === 'end') return Infinity;
  return seq < (job.fields.an ?? 0) ? 0 : output;
}

/** The listener's own among the watches on a job, from the first of them on. */
function watchOf(listener: Listener, first: Watch | undefined): Watch | undefined {
  let watch = first;
  while (watch && watch.listener !== listener) watch = watch.after;
  return watch;
}

/** Asks one after another: each may have kept a MiB, and the link to Redis is everybody's. */
async function inTurn<T, R>(all: T[], ask: (one: T, index: number) => Promise<R>): Promise<R[]> {
  const answers: R[] = [];
  for (const [index, one] of all.entries()) answers.push(await ask(one, index));
  return answers;
}

/** User-given keys are looked up as own properties only. */
function own(record: Record<string, number>, key: string): number | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
