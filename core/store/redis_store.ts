import { randomBytes } from 'node:crypto';
import type { Config } from '../config.ts';
import { monotonic } from '../clock.ts';
import type { Histogram } from '../histogram.ts';
import { randomId } from '../random_ids.ts';
import type { FinishedState, JobRecord, WatchLevel } from '../messages/job.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import { assignmentText, Bodies } from './bodies.ts';
import { Batcher, type BatchKind, type Done } from './batcher.ts';
import { sameContent } from './content.ts';
import { adviseOn, Durability } from './durability.ts';
import { parseEffect, type ResultOf } from './effects.ts';
import { checkLayout } from './layout.ts';
import { keyOf, type KeyName, refOf } from './keys.ts';
import { inCalls, listJobs, readJobs } from './listing.ts';
import { LETTER_OF, LETTERS, type Letter, queuedAt, type StoredJob } from './records.ts';
import { nothingStored, RedisLink } from './redis_link.ts';
import { loadScripts } from './scripts.ts';
import type {
  Beat,
  Claimed,
  Content,
  Effect,
  Finish,
  Finished,
  FinishKind,
  Held,
  HeldAnswer,
  KeptSlots,
  ListFilter,
  MachineAddress,
  Reaped,
  Registered,
  Report,
  Reported,
  SlotAddress,
  Store,
  StoredOutput,
  Submitted,
  Trim,
} from './store.ts';

const SHARD = 0;
const key = (name: KeyName, suffix = '') => keyOf(SHARD, name, suffix);

const LEVEL: Record<WatchLevel, number> = { end: 1, default: 2, all: 3 };
const KIND: Record<FinishKind, string> = {
  completed: 'c',
  failed: 'f',
  cancelled: 'x',
  released: 'r',
  rejected: 'j',
  undelivered: 'u',
};
/** Back-offs vary by ±20 %, so that jobs that failed together do not come back together. */
const jitter = () => (0.8 + 0.4 * Math.random()).toFixed(3);
const NO_MACHINE: MachineAddress = { machine_id: '', connection: '' };
/** Stands between two effects of one text. */
const EFFECT_END = '\x1e';
/** The most jobs one reap or trim takes on: a few ms of Redis time at most, so that nobody waits behind it. */
const REAP_MAX = 100;
const TRIM_MAX = 100;

/** A Redis silent for so long counts as in trouble, though its link stands. */
const SILENT_MS = 1500;

/** `hub:` and the id, so that Lua can tell a hub from an application that submits by itself. */
export const makeHubId = () => `h_${randomBytes(6).toString('hex')}`;

export interface StoreOptions {
  hub_id?: string;
  /** False for programs that only add jobs: they take the settings all hubs share as they are. */
  shares_layout?: boolean;
  /** Lets tests move the time of the scripts. */
  test_clock?: boolean;
}

export class RedisStore implements Store {
  readonly hub_id: string;
  readonly #config: Config;
  readonly #shares_layout: boolean;
  readonly #link: RedisLink;
  readonly #durability: Durability;
  readonly #batch: Batcher;
  readonly #bodies = new Bodies(monotonic);
  /** Starts by lease that Redis has not answered yet. */
  readonly #starts = new Map<string, object>();
  readonly #effects: ((effect: Effect) => void)[] = [];
  /** Why Redis refuses new work, as it last said. */
  #refusal: string | null = null;
  /** When it was asked, while it has not answered. */
  #probed_at: number | null = null;
  /** The last arrival number Redis gave, as of the last beat. */
  #arrival = 0;
  /** What another server process turned out to have lost. */
  #loss: Beat['loss'] = null;

  constructor(config: Config, options: StoreOptions = {}) {
    this.hub_id = options.hub_id ?? makeHubId();
    this.#config = config;
    this.#shares_layout = options.shares_layout ?? true;
    this.#link = new RedisLink(config, loadScripts(config, SHARD, options));
    const hub = () => [this.hub_id];
    const head = { submit: hub, fit: hub, report: hub, claim: hub, finish: () => [this.hub_id, jitter()] };
    this.#durability = new Durability(config, (command, ...args) => this.#link.call(command, ...args));
    this.#batch = new Batcher(this.#link, this.#durability, head, (...told) => this.#applyBatch(...told));
    this.#link.on('message', (channel, text) => this.#heard(channel, text));
    this.#link.on('changed', () => this.#changed());
  }

  get up(): boolean {
    return this.#link.up;
  }

  get why(): string {
    return this.#link.why;
  }

  get round_trips(): Histogram {
    return this.#link.round_trips;
  }

  get failed_trips(): number {
    return this.#link.failed_trips;
  }

  get trouble(): string | null {
    if (!this.up) return `Redis is away: ${this.why}`;
    const silent_ms = this.#probed_at === null ? 0 : monotonic() - this.#probed_at;
    if (silent_ms > SILENT_MS) return `Redis has not answered for ${Math.round(silent_ms / 1000)} s`;
    return this.#refusal ?? this.#durability.fault;
  }

  async probe(): Promise<void> {
    this.#link.probeListener();
    if (!this.up || this.#probed_at !== null) return;
    this.#probed_at = monotonic();
    this.#refusal = await this.#link.trouble('probe', [this.hub_id]);
    if (this.#durability.fault !== null) await this.#durability.again();
    this.#probed_at = null;
  }

  async settled(): Promise<void> {
    this.#batch.flush();
    // Answers come in the order of what was asked.
    if (this.up) await this.#link.call('PING').catch(() => undefined);
    if (this.#durability.waits) await this.#durability.settle().catch(() => undefined);
  }

  advice() {
    return adviseOn((command, ...args) => this.#link.call(command, ...args));
  }

  async open(): Promise<void> {
    await this.#link.open([key('hub', this.hub_id), key('wake')]);
    await this.#durability.prepare();
    if (this.#shares_layout) await checkLayout(this.#link, key, this.#config);
  }

  close(): void {
    this.#link.close();
  }

  get crowded(): boolean {
    return this.#batch.crowded;
  }

  onceRoom(act: () => void): void {
    this.#batch.onceRoom(act);
  }

  onEffect(listener: (effect: Effect) => void): void {
    this.#effects.push(listener);
  }

  onChanged(listener: () => void): void {
    this.#link.on('changed', listener);
  }

  onUp(listener: () => void): void {
    this.#link.on('up', listener);
    this.#link.on('resubscribed', listener);
  }

  onDown(listener: (why: string) => void): void {
    this.#link.on('down', listener);
  }

  /** Machines could not renew meanwhile, and the promise of `DURABILITY` may be another server's. */
  #changed(): void {
    // Asked first: the next job that is accepted sets it right.
    this.#link.call('GET', key('clock')).then(
      arrival => {
        if (Number(arrival ?? 0) < this.#arrival) this.#loss = arrival === null ? 'empty' : 'older';
      },
      () => undefined,
    );
    this.#run('hold', [], 'none').catch(() => undefined);
    void this.#durability.again();
    this.#bodies.clear();
  }

  submit(
    job_id: string,
    content: Content,
    watch: WatchLevel | null,
    done: Done<Submitted>,
    sent?: () => void,
  ): void {
    const { body, signature, definition, constants, run_at } = content;
    const level = watch === null ? 0 : LEVEL[watch];
    const ref = refOf(job_id);
    // A delayed job will be claimed by any hub; and programs that only add jobs claim none.
    const kept = run_at === '' && this.#shares_layout && this.#bodies.keep(ref, body);
    const args = [ref, body, signature, definition, level, run_at, kept ? 1 : 0, ...constants];
    const answered = (error: Error | null, reply: SubmitReply, seq: string) => {
      // In doubt Redis may hold it, or do so yet, under this hub's mark: then nothing else may be kept in its place.
      const refused = error ? nothingStored(error) : typeof reply === 'object' && reply[0] !== 'new';
      if (kept && refused) this.#bodies.take(ref);
      if (error) return done(error, reply as never);
      if (typeof reply !== 'object') return done(null, queuedNow(Number(seq), Number(reply)));
      if (reply[0] !== 'differs') return done(null, toSubmitted(reply));
      const stored = reply[1];
      if (!sameContent(body, stored)) return done(null, { outcome: 'conflict' });
      this.submit(job_id, { ...content, body: stored }, watch, done);
    };
    this.#batch.add('submit', args, answered, sent);
  }

  claim(slot: SlotAddress, done: Done<Claimed>): void {
    // 128 random bits make a lease unguessable, and never the same again when Redis comes back older.
    const args = [slot.machine_id, slot.connection, slot.index, slot.class_id, randomId()];
    this.#batch.add<ClaimReply, (string | number)[]>('claim', args, (error, reply, left) => {
      if (error) return done(error, reply as never);
      const [text, sent] = typeof reply === 'string' ? [reply] : reply;
      const [outcome, ref, lease_id, signature] = text.split(' ') as [string, string, string, string];
      if (outcome === 'stuck') return done(null, { outcome, ref, lease_id });
      if (outcome !== 'job' && outcome !== 'held') return done(null, { outcome } as Claimed);
      const kept = outcome === 'job' ? this.#bodies.take(ref) : undefined;
      const more = outcome === 'job' ? leftOf(left, slot.class_id) : 0;
      const tell = (body: string) =>
        done(null, {
          outcome,
          ref,
          lease_id,
          attempt: Number.parseInt(lease_id, 10),
          body: assignmentText(body),
          more,
          signature,
        });
      const body = sent ?? kept;
      if (body !== undefined) return tell(body);
      // It is kept no longer, or by another hub of the same mark.
      this.#link
        .call('HGET', key('bodies'), ref)
        .then(found => tell(found as string))
        .catch((failure: Error) => done(failure, undefined as never));
    });
  }

  async fit(class_id: string, signatures: string[]): Promise<void> {
    const pairs = signatures.length === 0 ? [''] : signatures;
    await Promise.all(
      pairs.map(
        signature =>
          new Promise<void>((resolve, reject) => {
            this.#batch.add('fit', [class_id, signature], error => (error ? reject(error) : resolve()));
          }),
      ),
    );
  }

  async fitting(class_id: string): Promise<Set<string>> {
    return new Set((await this.#link.call('SMEMBERS', key('fit', class_id))) as string[]);
  }

  report(report: Report, done: Done<Reported>): void {
    if (report.kind !== 'started') {
      this.#batch.add('report', reportArgs(report), done);
      return;
    }
    const { lease_id } = report;
    const operation = this.#batch.add<'ok' | 'stale'>('report', reportArgs(report), (error, answer) => {
      this.#starts.delete(lease_id);
      done(error, answer);
    });
    this.#starts.set(lease_id, operation);
  }

  finish(finish: Finish, done: Done<Finished>): void {
    const { ref, lease_id, machine_id, kind, payload, retryable } = finish;
    const args = [
      ref,
      lease_id,
      machine_id,
      KIND[kind],
      payload,
      retryable ? 1 : 0,
      this.#startedJustNow(lease_id) ? 1 : 0,
    ];
    this.#batch.add<string, string>('finish', args, (error, reply, now) =>
      error ? done(error, reply as never) : done(null, toFinished(reply, Number(now))),
    );
  }

  /** A job that starts and ends in one turn needs one script operation, not two; both events are told. */
  #startedJustNow(lease_id: string): boolean {
    const operation = this.#starts.get(lease_id);
    if (operation === undefined || !this.#batch.take('report', operation)) return false;
    this.#starts.delete(lease_id);
    return true;
  }

  async register(
    machine_id: string,
    connection: string,
    indexes: number[],
    running: Held[],
    left: MachineAddress = NO_MACHINE,
  ): Promise<Registered> {
    const formerly = [left.machine_id, left.connection];
    const args = [machine_id, connection, indexes.join(','), ...formerly, ...pairs(running)];
    const reply = await this.#run('register', args, 'machines');
    const [, answers, fields, at] = reply as [string, AnswerReply[], string[], number];
    return { answers: answers.map(toAnswer), at, ...toSlots(fields) };
  }

  async attach(machine_id: string, connection: string, registered_at: number) {
    const reply = await this.#run('attach', [machine_id, connection, registered_at], 'machines');
    const [present, fields] = reply as [number, string[]];
    return present === 0 ? null : toSlots(fields);
  }

  async renew(machine_id: string, connection: string, running: Held[]) {
    const reply = await this.#run('renew', [machine_id, connection, ...pairs(running)], 'machines');
    const [fenced, answers, freed, leased] = reply as [number, AnswerReply[], number[], number[]];
    return fenced === 1 ? null : { answers: answers.map(toAnswer), freed, leased: leased.sort() };
  }

  async disconnect(
    machine_id: string,
    connection: string,
    offline: WorkerRecord[] = [],
  ): Promise<number[] | null> {
    const args = [machine_id, connection, ...fieldsOf(offline)];
    const [present, held] = (await this.#run('disconnect', args, 'machines')) as [number, number[]];
    return present === 1 ? held : null;
  }

  async cancel(job_id: string, reason: string | undefined) {
    const words = reason === undefined ? '' : JSON.stringify(reason);
    const [outcome] = (await this.#run('cancel', [refOf(job_id), words], 'all')) as [
      'cancelled' | 'cancelling' | 'ended' | 'not_found',
    ];
    return outcome;
  }

  async setPriority(job_id: string, priority: number) {
    return (await this.#run('set_priority', [refOf(job_id), priority], 'all')) as
      | 'ok'
      | 'ended'
      | 'not_found';
  }

  async pause(job_type: string | null, why: { reason: string | null; at: number } | null): Promise<void> {
    await this.#run('pause', [job_type ?? '*', why === null ? '' : JSON.stringify(why)], 'machines');
  }

  async paused() {
    const fields = (await this.#link.call('HGETALL', key('paused'))) as string[] | Record<string, string>;
    return [...toMap(fields)].map(([job_type, why]) => ({
      job_type: job_type === '*' ? null : job_type,
      ...(JSON.parse(why) as { reason: string | null; at: number }),
    }));
  }

  async drain(
    worker_ids: string[],
    why: { reason: string | null; resume_at: number | null } | null,
  ): Promise<void> {
    await this.#run('drain', [why === null ? '' : JSON.stringify(why), ...worker_ids], 'machines');
  }

  async get(job_id: string): Promise<StoredJob | null> {
    for await (const job of readJobs(this.#link, [refOf(job_id)], true)) return job;
    return null;
  }

  async place(job: StoredJob): Promise<{ position: number | null; waiting: number }> {
    const queue = key('queue', job.fields.sg);
    const [rank, waiting] = (await Promise.all([
      this.#link.call('ZRANK', queue, job.ref),
      this.#link.call('ZCARD', queue),
    ])) as [number | null, number];
    return { position: rank === null ? null : rank + 1, waiting };
  }

  async list(filter: ListFilter): Promise<{ jobs: JobRecord[]; next_cursor: string | null }> {
    return listJobs(this.#link, key, filter);
  }

  async watch(job_ids: string[], level: WatchLevel): Promise<(StoredJob | null)[]> {
    const refs = job_ids.map(id => refOf(id));
    const jobs: (StoredJob | null)[] = [];
    const set = (part: string[]) => this.#run('watch', [LEVEL[level], ...part], 'all');
    for await (const job of inCalls(refs, set)) jobs.push(job);
    return jobs;
  }

  async outputs(job_id: string, from: number): Promise<StoredOutput[]> {
    const entries = (await this.#link.call('XRANGE', key('out', refOf(job_id)), `1-${from + 1}`, '+')) as [
      string,
      string[],
    ][];
    return entries.map(([id, fields]) => ({ index: Number(id.slice(2)) - 1, data: fields[1] as string }));
  }

  async counts() {
    const fields = toMap((await this.#link.call('HGETALL', key('counts'))) as string[]);
    const counts = new Map<string, Partial<Record<JobRecord['status'], number>>>();
    for (const [field, count] of fields) {
      const [type, letter] = field.split(' ') as [string, Letter];
      const of = counts.get(type) ?? {};
      of[LETTERS[letter]] = Number(count);
      counts.set(type, of);
    }
    return counts;
  }

  async oldestQueued(now: number): Promise<number | null> {
    const signatures = [...(await this.signatures()).keys()];
    const heads = await Promise.all(
      signatures.map(async signature => {
        const [ref] = (await this.#link.call('ZRANGE', key('queue', signature), 0, 0)) as string[];
        if (ref === undefined) return null;
        const record = (await this.#link.call('HGET', key('jobs'), ref)) as string | null;
        return record === null ? null : queuedAt(record);
      }),
    );
    const times = heads.filter(time => time !== null);
    return times.length === 0 ? null : Math.max(0, now - Math.min(...times));
  }

  async signatures(): Promise<Map<string, string>> {
    return toMap((await this.#link.call('HGETALL', key('signatures'))) as string[]);
  }

  async reap(): Promise<Reaped> {
    const reply = await this.#run('reap', [jitter(), REAP_MAX], 'none');
    const [more, due, expired, ended] = reply as [number, number, number, string[]];
    return { more: more === 1, next_due: due === 0 ? null : due, expired, ended };
  }

  async trim({ letters, keep, age_ms }: Trim): Promise<{ forgotten: number; more: boolean }> {
    const reply = await this.#run('trim', [TRIM_MAX, letters.join(''), keep, age_ms], 'none');
    const [forgotten, more] = reply as [number, number];
    return { forgotten, more: more === 1 };
  }

  async purge(status: FinishedState, older_than_ms: number): Promise<number> {
    let total = 0;
    for (;;) {
      const { forgotten, more } = await this.trim({
        letters: [LETTER_OF[status]],
        keep: Number.MAX_SAFE_INTEGER,
        age_ms: older_than_ms,
      });
      total += forgotten;
      if (!more) return total;
    }
  }

  async purgeSignatures(): Promise<void> {
    await this.#run('purge_signatures', [], 'none');
  }

  async beat(info: string, has_monitor: boolean, dead_after_ms: number, classes: string[]): Promise<Beat> {
    const reply = await this.#run('beat', [info, has_monitor ? 1 : 0, dead_after_ms, ...classes], 'none');
    const [now, dead, hubs, added, has_layout, arrival] = reply as [
      number,
      string[],
      string[],
      number,
      number,
      string,
    ];
    const before = this.#arrival;
    this.#arrival = Number(arrival);
    const loss = has_layout === 0 ? 'empty' : (this.#loss ?? (this.#arrival < before ? 'older' : null));
    this.#loss = null;
    // What all hubs must share is theirs to say again.
    if (loss === 'empty' && this.#shares_layout) await checkLayout(this.#link, key, this.#config);
    // Whoever watches learns what is gone, as after a time without hints.
    if (loss !== null) this.#link.emit('resubscribed');
    return { now, dead, hubs: toMap(hubs), returned: added === 1, loss };
  }

  async leave(): Promise<void> {
    await this.#run('leave', [], 'none');
  }

  async putWorkers(records: WorkerRecord[]): Promise<void> {
    const fields = fieldsOf(records);
    if (fields.length > 0) await this.#link.call('HSET', key('workers'), ...fields);
  }

  async dropLeft(records: WorkerRecord[]): Promise<void> {
    const left = await Promise.all(
      records.map(async ({ worker_id, machine_id, index }) => {
        const [lease, conn] = (await this.#link.call(
          'HMGET',
          key('machine', machine_id),
          `s${index}`,
          'conn',
        )) as (string | null)[];
        return lease === null && conn === null ? [worker_id] : [];
      }),
    );
    const worker_ids = left.flat();
    if (worker_ids.length > 0) await this.#link.call('HDEL', key('workers'), ...worker_ids);
  }

  tellHub(hub_id: string, frame: string): void {
    this.#link.call('PUBLISH', key('hub', hub_id), `worker\n${frame}`).catch(() => undefined);
  }

  async workerCount(): Promise<number> {
    return (await this.#link.call('HLEN', key('workers'))) as number;
  }

  async workers(): Promise<WorkerRecord[]> {
    const records = toMap((await this.#link.call('HGETALL', key('workers'))) as string[]);
    return [...records.values()].map(text => JSON.parse(text) as WorkerRecord);
  }

  /**
   * Runs a script and hands out its effects.
   *
   * @param behind what was asked for before and must be done before: housekeeping that lets new jobs through breaks their
   *   pace, and the work of machines then waits behind hundreds of them
   */
  async #run(name: string, args: (string | number)[], behind: 'all' | 'machines' | 'none'): Promise<unknown> {
    if (behind === 'all') this.#batch.flush();
    if (behind === 'machines') this.#batch.flushMachines();
    const [reply, effects] = (await this.#link.run(name, [this.hub_id, ...args])) as [unknown, string];
    this.#applyAll(effects);
    return reply;
  }

  #applyBatch(
    effects: string,
    kind: BatchKind,
    operations: (string | number)[][],
    answers: readonly unknown[],
  ): void {
    this.#applyAll(effects, kind === 'finish' ? resultsIn(operations, answers) : undefined);
  }

  #applyAll(effects: string, resultOf?: ResultOf): void {
    if (effects === '') return;
    for (const text of effects.split(EFFECT_END)) this.#tell(parseEffect(text, resultOf));
  }

  #tell(effect: Effect): void {
    for (const listener of this.#effects) listener(effect);
  }

  #heard(channel: string, text: string): void {
    if (channel !== key('wake')) {
      this.#applyAll(text);
      return;
    }
    const [from, signature, fresh] = text.split(' ') as [string, string, 'new'?];
    if (from !== this.hub_id) this.#tell({ kind: fresh ? 'signature' : 'wake', signature });
  }
}

type Decided = ['new' | 'duplicate' | 'conflict' | 'full', Letter, string, number, string];
/** The position of a new job in its queue, or what else became of it. */
type SubmitReply = number | string | Decided | ['differs', string];
/** A text, or that and a body: see lua/claim.lua. */
type ClaimReply = string | [string, string];
type AnswerReply = [HeldAnswer['action'], number];

function toSubmitted([outcome, letter, seq, position, created_at]: Decided): Submitted {
  if (outcome === 'conflict' || outcome === 'full') return { outcome };
  return {
    outcome,
    status: LETTERS[letter],
    seq: Number(seq),
    position: position === 0 ? null : position,
    created_at: Number(created_at),
  };
}

const queuedNow = (seq: number, position: number): Submitted => ({
  outcome: 'new',
  status: 'queued',
  seq,
  position,
  created_at: Math.floor(seq / 1000),
});

/** How many jobs may be left, from pairs of class and number: the last of a class counts. */
function leftOf(left: readonly (string | number)[], class_id: string): number {
  const at = left.lastIndexOf(class_id);
  return at < 0 ? 0 : (left[at + 1] as number);
}

/** Of lua/finish.lua: this message completed its job. A repeat of it has no times. */
const COMPLETED = /^\S+ ok \d/;

/** Finds the results of the jobs that a call of ends completed. Events come in the order of the ends. */
function resultsIn(operations: (string | number)[][], answers: readonly unknown[]): ResultOf {
  let next = 0;
  return ref => {
    for (let tried = 0; tried < operations.length; tried++) {
      const at = (next + tried) % operations.length;
      const args = operations[at] as (string | number)[];
      // A lease that is over may have sent another result in the same turn.
      if (args[0] !== ref || !COMPLETED.test(answers[at] as string)) continue;
      next = at + 1;
      return args[4] as string;
    }
    return undefined;
  };
}

/** @param text of lua/finish.lua @param now ms */
function toFinished(text: string, now: number): Finished {
  const [worker, code, since, assigned] = text.split(' ') as [string, string, string?, string?];
  return {
    accepted: code === 'ok',
    code: code === 'ok' ? null : (code as Finished['code']),
    queued_ms: assigned === undefined ? 0 : Math.max(0, Number(assigned) - Number(since)),
    run_ms: assigned === undefined ? 0 : Math.max(0, now - Number(assigned)),
    freed: worker === '-' ? null : worker,
  };
}

const toAnswer = ([action, next_output]: AnswerReply): HeldAnswer => ({ action, next_output });

function toSlot(value: string): Held & { mark: 'x' | 't' | null } {
  const [lease_id, ref, mark] = value.split(' ') as [string, string, 'x' | 't' | undefined];
  return { ref, lease_id, mark: mark ?? null };
}

/** Slots that hold a lease, and those an operator drained, from the fields of a machine that say so. */
function toSlots(fields: string[]): KeptSlots {
  const kept: KeptSlots = { slots: new Map(), drained: new Map() };
  for (let i = 0; i < fields.length; i += 2) {
    const [field, value] = [fields[i] as string, fields[i + 1] as string];
    const index = Number(field.slice(1));
    if (field.startsWith('o')) kept.drained.set(index, value);
    else kept.slots.set(index, toSlot(value));
  }
  return kept;
}

function reportArgs(report: Report): (string | number)[] {
  const head = [report.ref, report.lease_id, report.machine_id];
  switch (report.kind) {
    case 'started':
      return [...head, 's', '', '', ''];
    case 'progress':
      return [...head, 'p', report.progress, report.data, report.message];
    case 'late_progress':
      return [...head, 'w', report.progress, '', report.message];
    case 'output':
      return [...head, 'o', report.index, report.data, ''];
  }
}

const fieldsOf = (records: WorkerRecord[]) =>
  records.flatMap(record => [record.worker_id, JSON.stringify(record)]);
const pairs = (running: Held[]) => running.flatMap(({ ref, lease_id }) => [ref, lease_id]);

/** Replies of HGETALL: a flat list, or an object where the client made one of it. */
function toMap(fields: string[] | Record<string, string>): Map<string, string> {
  if (!Array.isArray(fields)) return new Map(Object.entries(fields));
  const map = new Map<string, string>();
  for (let i = 0; i < fields.length; i += 2) map.set(fields[i] as string, fields[i + 1] as string);
  return map;
}
