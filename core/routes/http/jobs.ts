import type { Config } from '../../config.ts';
import { invalidMessage } from '../../errors.ts';
import { parse } from '../../messages/codec.ts';
import { CancelBody, JobPath, ListQuery, SubmitQuery } from '../../messages/http_api.ts';
import { JOB_ID } from '../../messages/fields.ts';
import { TERMINAL_EVENTS } from '../../messages/job.ts';
import type { Broadcaster, Listener } from '../../services/broadcaster.ts';
import type { Explain } from '../../services/explain.ts';
import type { Accepted, Jobs } from '../../services/jobs.ts';
import { refOf } from '../../store/keys.ts';
import type { Store } from '../../store/store.ts';
import { pageBytes } from '../common.ts';
import type { Exchange, Route } from './server.ts';
import { streamEvents } from './sse.ts';

export interface JobRouteServices {
  config: Config;
  store: Store;
  jobs: Jobs;
  broadcaster: Broadcaster;
  explain: Explain;
}

/** Ids in path, header and body must agree: they are the one idempotency key. */
function jobIdOf({ request, params }: Exchange, body: Record<string, unknown>): string | undefined {
  const header = request.headers['idempotency-key'];
  const given = {
    path: params['job_id'],
    'Idempotency-Key': typeof header === 'string' ? header : undefined,
    job_id: body['job_id'],
  };
  const ids = Object.entries(given).filter(([, id]) => id !== undefined);
  for (const [where, id] of ids) {
    if (typeof id !== 'string' || !JOB_ID.test(id))
      throw invalidMessage([{ path: where, message: `must match ${JOB_ID.source}` }]);
    if (id !== ids[0]?.[1])
      throw invalidMessage([{ path: where, message: `differs from ${ids[0]?.[0]}: ids must agree` }]);
  }
  return ids[0]?.[1] as string | undefined;
}

const pathId = ({ params }: Exchange) => parse(JobPath, params).job_id;

export function jobRoutes({ config, store, jobs, broadcaster, explain }: JobRouteServices): Route[] {
  const submit = async (exchange: Exchange) => {
    const { wait_ms } = parse(SubmitQuery, exchange.query);
    const source = await exchange.body();
    const { body } = source;
    const job_id = jobIdOf(exchange, body);
    const traceparent = body['traceparent'] ?? exchange.request.headers['traceparent'];
    const job = jobs.read({
      ...body,
      ...(job_id === undefined ? {} : { job_id }),
      ...(traceparent === undefined ? {} : { traceparent }),
      watch: 'end',
    });
    const end = new EndWaiter();
    const by = wait_ms === undefined ? {} : { listener: end };
    const accepted = await new Promise<Accepted>((resolve, reject) => {
      jobs.submit(job, source, by, (error, answer) => (error ? reject(error) : resolve(answer as Accepted)));
    });
    const location = { Location: `/jobs/${encodeURIComponent(accepted.job_id)}` };
    if (wait_ms === undefined) return exchange.send(accepted.duplicate ? 200 : 202, accepted, location);
    // To whoever waits 200 means one thing: this is the record of the job that ended.
    if (!(await waitForEnd(exchange, accepted.job_id, end, wait_ms)))
      return exchange.send(202, accepted, location);
    exchange.send(200, (await jobs.get(accepted.job_id)).text, location);
  };

  /** True when the job ended in time. */
  const waitForEnd = async (
    exchange: Exchange,
    job_id: string,
    end: EndWaiter,
    wait_ms: number,
  ): Promise<boolean> => {
    const ended = await store.get(job_id).then(
      job => job?.ended ?? false,
      (error: Error) => {
        broadcaster.drop(end, refOf(job_id));
        throw error;
      },
    );
    const timer = setTimeout(() => end.settle(false), wait_ms);
    exchange.onOver(() => end.settle(false));
    if (ended) end.settle(true);
    const outcome = await end.promise;
    clearTimeout(timer);
    broadcaster.drop(end, refOf(job_id));
    return outcome;
  };

  return [
    { method: 'POST', path: '/jobs', handle: submit },
    { method: 'PUT', path: '/jobs/:job_id', handle: submit },
    {
      method: 'GET',
      path: '/jobs',
      handle: async exchange => {
        const filter = parse(ListQuery, exchange.query);
        exchange.send(200, await store.list({ ...filter, max_bytes: pageBytes(config) }));
      },
    },
    {
      method: 'GET',
      path: '/jobs/:job_id',
      handle: async exchange => exchange.send(200, (await jobs.get(pathId(exchange))).text),
    },
    {
      method: 'POST',
      path: '/jobs/:job_id/cancel',
      handle: async exchange => {
        const job_id = pathId(exchange);
        const { reason } = parse(CancelBody, (await exchange.body('{}')).body);
        exchange.send(202, { job_id, status: await jobs.cancel(job_id, reason) });
      },
    },
    {
      method: 'POST',
      path: '/jobs/:job_id/retry',
      handle: async exchange => {
        const accepted = await jobs.retry(pathId(exchange));
        exchange.send(202, accepted, { Location: `/jobs/${encodeURIComponent(accepted.job_id)}` });
      },
    },
    {
      method: 'GET',
      path: '/jobs/:job_id/explain',
      handle: async exchange => exchange.send(200, await explain.explain(pathId(exchange))),
    },
    {
      method: 'GET',
      path: '/jobs/:job_id/events',
      handle: exchange => streamEvents(exchange, pathId(exchange), broadcaster, jobs),
    },
  ];
}

/** Waits for the terminal event of one job. */
class EndWaiter implements Listener {
  readonly promise: Promise<boolean>;
  settle!: (ended: boolean) => void;

  constructor() {
    this.promise = new Promise(resolve => {
      this.settle = resolve;
    });
  }

  event(event: { type: string }): void {
    if (TERMINAL_EVENTS.has(event.type)) this.settle(true);
  }

  lost(): void {
    this.settle(false);
  }
}
