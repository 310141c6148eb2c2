import { createHash, randomBytes } from 'node:crypto';
import type { Log } from '../log.ts';
import type { AttemptRecord, JobRecord } from '../messages/job.ts';
import { idOf, refOf } from '../store/keys.ts';
import type { Store } from '../store/store.ts';
import type { Telemetry } from '../telemetry.ts';
import { formatTraceparent, parseTraceparent, type TraceContext } from '../trace_context.ts';

/** A span that several hubs and a worker must name before it is over has an id made of what it is about. */
function spanIdOf(...parts: (string | number)[]): string {
  return createHash('sha1').update(parts.join('\n')).digest('hex').slice(0, 16);
}
const jobSpan = (ref: string) => spanIdOf(ref, 'job');
const attemptSpan = (ref: string, attempt: number, worker_id: string) => spanIdOf(ref, attempt, worker_id);

/** How the stored submission begins when it has a trace; see {@link JobTraces.withTrace}. */
const STORED = /^"traceparent":"([^"]*)",/;

/** The trace id of a job that is sent to a worker, for the log. */
export const traceIdOf = (body: string) => parseTraceparent(STORED.exec(body)?.[1])?.trace_id;

/**
 * One trace a job. Its context lies with what the worker is sent, so client, hubs and workers of any attempt find it. A
 * worker's spans hang below the span of its attempt. The hub's own spans are all written when the job has ended, from its
 * record: by the one hub that ended it, with all attempts, on whatever hub they were. Without telemetry the client's
 * context is handed on to the worker, and that is all.
 */
export class JobTraces {
  readonly #store: Store;
  readonly #telemetry: Telemetry | null;
  readonly #log: Log;

  constructor(store: Store, telemetry: Telemetry | null, log: Log) {
    this.#store = store;
    this.#telemetry = telemetry;
    this.#log = log;
  }

  /** Puts the context before the stored members of a submission. @param given what the client sent */
  withTrace(ref: string, given: string | undefined, body: string): string {
    const context = given === undefined ? null : parseTraceparent(given);
    if (context === null && this.#telemetry === null) return body;
    const traceparent = formatTraceparent(
      context ?? { trace_id: randomBytes(16).toString('hex'), span_id: jobSpan(ref), sampled: true },
    );
    return `"traceparent":"${traceparent}",${body}`;
  }

  /** What the worker is sent: its spans belong below its attempt. */
  forWorker(ref: string, attempt: number, worker_id: string, body: string): string {
    if (this.#telemetry === null) return body;
    return body.replace(STORED, (whole, traceparent: string) => {
      const context = parseTraceparent(traceparent);
      if (context === null) return whole;
      return `"traceparent":"${formatTraceparent({ ...context, span_id: attemptSpan(ref, attempt, worker_id) })}",`;
    });
  }

  /** Redis has answered a submission: the span of that. @param body the stored members @param began_ms since 1970 */
  submitted(ref: string, body: string, began_ms: number, error: string | undefined): void {
    if (this.#telemetry === null) return;
    const context = parseTraceparent(STORED.exec(body)?.[1]);
    if (context === null || !context.sampled) return;
    this.#telemetry.write({
      name: 'submit',
      role: 'server',
      trace_id: context.trace_id,
      span_id: randomBytes(8).toString('hex'),
      parent: { ...context, span_id: jobSpan(ref) },
      start_ms: began_ms,
      end_ms: Date.now(),
      attributes: { 'gpuhub.job_id': idOf(ref) },
      error,
    });
  }

  /** Something ended a lease or a waiting job: if the job is over, its spans are written. */
  ended(ref: string): void {
    if (this.#telemetry === null) return;
    this.#write(ref, this.#telemetry).catch((error: Error) =>
      this.#log.debug({ job_id: idOf(ref), err: error.message }, 'no trace of this job'),
    );
  }

  async #write(ref: string, telemetry: Telemetry): Promise<void> {
    const job = await this.#store.get(idOf(ref));
    if (!job?.ended) return;
    const context = parseTraceparent(job.submission['traceparent']);
    if (context === null || !context.sampled) return;
    const record = job.record(true);
    const span_id = jobSpan(ref);
    const code = codeOf(record.error);
    telemetry.write({
      name: `job ${record.job_type}`,
      trace_id: context.trace_id,
      span_id,
      // A trace that a hub began has this span as its root.
      parent: context.span_id === span_id ? null : context,
      start_ms: record.created_at,
      end_ms: record.finished_at ?? record.updated_at,
      attributes: {
        'gpuhub.job_id': record.job_id,
        'gpuhub.job_type': record.job_type,
        'gpuhub.client_id': record.client_id ?? undefined,
        'gpuhub.status': record.status,
        'gpuhub.priority': record.priority,
        'gpuhub.attempts': record.attempt,
        'gpuhub.retry_of': record.retry_of ?? undefined,
      },
      ...(record.retry_of === null ? {} : { links: [jobSpan(refOf(record.retry_of))] }),
      error: record.status === 'failed' ? (code ?? 'failed') : undefined,
    });
    this.#writeAttempts(ref, telemetry, { ...context, span_id }, record);
  }

  #writeAttempts(ref: string, telemetry: Telemetry, parent: TraceContext, record: JobRecord): void {
    let waits_from = record.created_at;
    let before: string | undefined;
    const { trace_id } = parent;
    for (const [index, attempt] of (record.attempts ?? []).entries()) {
      const { assigned_at, ended_at } = attempt;
      if (assigned_at === null) continue;
      const end_ms = ended_at ?? record.finished_at ?? assigned_at;
      const attributes = { 'gpuhub.job_id': record.job_id, 'gpuhub.attempt': attempt.attempt };
      telemetry.write({
        name: 'wait',
        trace_id,
        span_id: spanIdOf(ref, 'wait', index),
        parent,
        start_ms: waits_from,
        end_ms: assigned_at,
        attributes,
      });
      const span_id = idOfAttempt(ref, record.attempts as AttemptRecord[], index);
      telemetry.write({
        name: `attempt ${attempt.attempt}`,
        role: 'consumer',
        trace_id,
        span_id,
        parent,
        start_ms: assigned_at,
        end_ms,
        attributes: {
          ...attributes,
          'gpuhub.worker_id': attempt.worker_id ?? undefined,
          'gpuhub.outcome': attempt.outcome ?? undefined,
        },
        ...(before === undefined ? {} : { links: [before] }),
        error: attempt.outcome === 'completed' ? undefined : (codeOf(attempt.error) ?? undefined),
      });
      before = span_id;
      waits_from = end_ms;
    }
  }
}

/** Of two assignments with the same number to the same worker (the first handed back) the last has the id it was told. */
function idOfAttempt(ref: string, attempts: AttemptRecord[], index: number): string {
  const { attempt, worker_id } = attempts[index] as AttemptRecord;
  const again = attempts.some(
    (other, i) => i > index && other.attempt === attempt && other.worker_id === worker_id,
  );
  return again ? spanIdOf(ref, 'again', index) : attemptSpan(ref, attempt, worker_id ?? '');
}

const codeOf = (error: unknown) => (error as { code?: string } | null)?.code;
