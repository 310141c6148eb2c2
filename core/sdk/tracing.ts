import type { GpuhubClient } from './client.ts';
import type { JobHandle } from './job_handle.ts';
import type { RequestOptions } from './requests.ts';
import type { JobSubmission } from './submission.ts';
import type { JobHandler } from './worker_options.ts';
import { parseTraceparent, type TraceContext } from '../trace_context.ts';

/** What is needed of a tracer; `startTelemetry` of core/telemetry.ts gives one. */
export interface Tracer {
  start(span: {
    name: string;
    role: 'producer' | 'consumer';
    parent: TraceContext | null;
    attributes: Record<string, string | number | undefined>;
  }): { traceparent: string; end(error?: string): void };
}

const codeOf = (error: unknown) => String((error as { code?: unknown } | null)?.code ?? 'error');

/**
 * Submits a job under a span of the client's: everything that becomes of it, on hubs and workers, is below that.
 *
 *     const telemetry = await startTelemetry(process.env, 'shop');
 *     const job = await submitTraced(client, telemetry, { job_type: 'image', params });
 *
 * @param tracer null submits without one
 * @param job.traceparent what the span belongs under, e.g. of the request that asked for the job
 */
export async function submitTraced(
  client: Pick<GpuhubClient, 'submit'>,
  tracer: Tracer | null,
  job: JobSubmission,
  options: RequestOptions = {},
): Promise<JobHandle> {
  if (tracer === null) return client.submit(job, options);
  const span = tracer.start({
    name: `submit ${job.job_type}`,
    role: 'producer',
    parent: parseTraceparent(job.traceparent),
    attributes: { 'gpuhub.job_type': job.job_type, 'gpuhub.job_id': job.job_id },
  });
  try {
    const handle = await client.submit({ ...job, traceparent: span.traceparent }, options);
    span.end();
    return handle;
  } catch (error) {
    span.end(codeOf(error));
    throw error;
  }
}

/**
 * A handler whose runs are spans below the attempt they belong to.
 *
 *     const worker = new GpuhubWorker({ machine_id: 'm1', handler: traced(telemetry, run) });
 *
 * @param tracer null changes nothing
 */
export function traced(tracer: Tracer | null, handler: JobHandler): JobHandler {
  if (tracer === null) return handler;
  return async (job, context) => {
    const span = tracer.start({
      name: `run ${job.job_type}`,
      role: 'consumer',
      parent: parseTraceparent(job.traceparent),
      attributes: {
        'gpuhub.job_id': job.job_id,
        'gpuhub.worker_id': job.worker_id,
        'gpuhub.attempt': job.attempt,
      },
    });
    try {
      const result = await handler(job, context);
      span.end();
      return result;
    } catch (error) {
      span.end(codeOf(error));
      throw error;
    }
  };
}
