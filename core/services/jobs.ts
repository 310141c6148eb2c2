import type { Config } from '../config.ts';
import { HubError } from '../errors.ts';
import { parse, type Source, unknownFields } from '../messages/codec.ts';
import { FINISHED_STATES, type JobRecord, Submission, type WatchLevel } from '../messages/job.ts';
import { randomId } from '../random_ids.ts';
import { refOf } from '../store/keys.ts';
import { RETRY_AFTER_MS } from '../store/redis_link.ts';
import { contentOf, type Done, type Store, type StoredJob, type Submitted } from '../store/store.ts';
import type { Broadcaster, Listener, Watch } from './broadcaster.ts';
import type { Log } from '../log.ts';
import type { Dispatcher } from './dispatcher.ts';
import { type JobTraces, traceIdOf } from './job_traces.ts';
import type { Measures } from './measures.ts';

export interface Accepted {
  job_id: string;
  status: JobRecord['status'];
  duplicate: boolean;
  seq: number;
  position: number | null;
  created_at: number;
  warnings?: string[];
}

export interface Submitter {
  client_id?: string | undefined;
  /** Who is told what happens to the job, if the submission asks for it. */
  listener?: Listener | undefined;
  retry_of?: string;
  /** Gets what lets the job's events go out, where another answer must come before them. At once when absent. */
  defer?: (release: () => void) => void;
}

/** `j_` and 22 characters of base64url. */
const makeJobId = () => `j_${randomId()}`;

const levelOf = (watch: Submission['watch']): WatchLevel | null =>
  watch === false ? null : watch === true ? 'default' : watch;

const isFinished = (status: JobRecord['status']) => (FINISHED_STATES as readonly string[]).includes(status);

/** What can be done with jobs, whatever way the wish came in: WebSocket, HTTP, a monitor. */
export class Jobs {
  readonly #store: Store;
  readonly #config: Config;
  readonly #dispatcher: Dispatcher;
  readonly #broadcaster: Broadcaster;
  readonly #measures: Measures;
  readonly #traces: JobTraces;
  readonly #log: Log;

  constructor(
    store: Store,
    config: Config,
    dispatcher: Dispatcher,
    broadcaster: Broadcaster,
    measures: Measures,
    traces: JobTraces,
    log: Log,
  ) {
    this.#traces = traces;
    this.#log = log;
    this.#store = store;
    this.#config = config;
    this.#dispatcher = dispatcher;
    this.#broadcaster = broadcaster;
    this.#measures = measures;
  }

  /**
   * Reads one job of a batch or an HTTP body.
   *
   * @throws HubError `invalid_message` naming the field
   */
  read(body: unknown): Submission {
    return parse(Submission, body);
  }

  /**
   * Stores a job. `done` is called when Redis holds it, before any event of it goes to the listener.
   *
   * @param source the submission as it came: for the texts of its params and metadata, and for warnings of unknown fields
   * @throws HubError when it is too large or too deep; `done` gets `conflict`, `queue_full`, `unavailable`
   */
  submit(
    job: Submission,
    source: Source,
    by: Submitter,
    done: (error: Error | null, accepted?: Accepted) => void,
  ): void {
    if (job.delay_ms !== undefined && job.run_at !== undefined) {
      throw new HubError('invalid_message', 'field "run_at": delay_ms and run_at cannot both be given', [
        { path: 'run_at', message: 'delay_ms and run_at cannot both be given' },
      ]);
    }
    const more = {
      ...(by.client_id ? { client_id: by.client_id } : {}),
      ...(by.retry_of ? { retry_of: by.retry_of } : {}),
    };
    const content = contentOf(job, more, source.text);
    if (content.params_bytes > this.#config.MAX_PARAMS_BYTES) {
      throw new HubError(
        'payload_too_large',
        `field "params": ${content.params_bytes} bytes, at most ${this.#config.MAX_PARAMS_BYTES} are taken`,
      );
    }
    const job_id = job.job_id ?? makeJobId();
    const level = by.listener ? levelOf(job.watch) : null;
    const ref = refOf(job_id);
    content.body = this.#traces.withTrace(ref, job.traceparent, content.body);
    // Until Redis answers the parsed frame must not be kept: hundreds under way are most of what garbage collection copies.
    const { job_type, priority } = job;
    const warnings = unknownFields(source.body);
    const began_ms = Date.now();
    const watch = by.listener && level ? this.#broadcaster.hold(by.listener, ref, level) : undefined;
    const answered: Done<Submitted> = (error, submitted) => {
      const fault = error ?? toFault(job_id, submitted.outcome);
      this.#tell({ job_type, priority }, job_id, by, content.body, fault, submitted);
      this.#traces.submitted(ref, content.body, began_ms, fault === null ? undefined : codeOf(fault));
      if (fault !== null || !('status' in submitted)) {
        done(fault);
        return this.#release(watch, by, null);
      }
      if (submitted.outcome === 'new') {
        this.#measures.submitted();
        this.#dispatcher.accepted(content.signature, content.definition);
      }
      const { status, seq, position, created_at } = submitted;
      const duplicate = submitted.outcome === 'duplicate';
      const accepted = { job_id, status, duplicate, seq, position, created_at };
      done(null, warnings.length > 0 ? { ...accepted, warnings } : accepted);
      this.#release(watch, by, duplicate && isFinished(status) ? null : level);
    };
    const sent = () => this.#dispatcher.submitted(content.signature);
    this.#store.submit(job_id, content, level, answered, content.run_at === '' ? sent : undefined);
  }

  #tell(
    { job_type, priority }: Pick<Submission, 'job_type' | 'priority'>,
    job_id: string,
    { client_id, retry_of }: Submitter,
    body: string,
    fault: Error | null,
    submitted: Submitted,
  ): void {
    if (!this.#log.isLevelEnabled('debug')) return;
    const about = { job_id, client_id, job_type, priority, retry_of, trace_id: traceIdOf(body) };
    if (fault !== null) this.#log.debug({ ...about, code: codeOf(fault) }, 'job refused');
    else if (submitted.outcome === 'duplicate') this.#log.debug(about, 'job sent again');
    else this.#log.debug(about, 'job accepted');
  }

  /** The answer is out: events may follow. @param level null when there is nothing to watch */
  #release(watch: Watch | undefined, { defer }: Submitter, level: WatchLevel | null): void {
    if (!watch) return;
    const release = () =>
      level === null ? this.#broadcaster.refuse(watch) : this.#broadcaster.grant(watch, level);
    if (defer) defer(release);
    else release();
  }

  /** @throws HubError `not_found`, `conflict` when it has ended, `unavailable` */
  async cancel(job_id: string, reason: string | undefined): Promise<'cancelled' | 'cancelling'> {
    const outcome = await this.#store.cancel(job_id, reason);
    if (outcome === 'not_found') throw notFound(job_id);
    if (outcome === 'ended') throw new HubError('conflict', `job ${job_id} has ended already`);
    this.#log.debug({ job_id, status: outcome }, 'job cancel accepted');
    if (outcome === 'cancelled') this.#traces.ended(refOf(job_id));
    return outcome;
  }

  /** @throws HubError `not_found`, `unavailable` */
  async get(job_id: string): Promise<StoredJob> {
    const job = await this.#store.get(job_id);
    if (job === null) throw notFound(job_id);
    return job;
  }

  /**
   * Submits an ended job again as a new one.
   *
   * @throws HubError `not_found`, `conflict` when it has not ended, `unavailable`
   */
  async retry(job_id: string): Promise<Accepted> {
    const old = await this.get(job_id);
    if (!old.ended) throw new HubError('conflict', `job ${job_id} has not ended`);
    const { delay_ms: _delay, run_at: _run, ...again } = old.submission;
    const body = Object.fromEntries(Object.entries(again).filter(([, value]) => value !== null));
    const by = { retry_of: job_id, ...(old.fields.ci ? { client_id: old.fields.ci } : {}) };
    return new Promise((resolve, reject) => {
      const source = { body: {}, text: old.submission_text };
      this.submit(this.read({ ...body, watch: false }), source, by, (error, accepted) =>
        error ? reject(error) : resolve(accepted as Accepted),
      );
    });
  }
}

const codeOf = (error: Error) => (error instanceof HubError ? error.code : 'internal');

export const notFound = (job_id: string) => new HubError('not_found', `there is no job ${job_id}`);

function toFault(job_id: string, outcome: string): HubError | null {
  if (outcome === 'conflict')
    return new HubError('conflict', `field "job_id": ${job_id} is taken by a job with other content`);
  if (outcome === 'full') {
    return new HubError(
      'queue_full',
      'too many different combinations of job_type and requirements are waiting',
      {
        limit: 'MAX_SIGNATURES',
        retry_after_ms: RETRY_AFTER_MS,
      },
    );
  }
  return null;
}
