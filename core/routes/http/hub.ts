import { readFile } from 'node:fs/promises';
import { parse } from '../../messages/codec.ts';
import { DrainBody, WorkerPath } from '../../messages/http_api.ts';
import { asyncapi } from '../../messages/reference/asyncapi.ts';
import { openapi } from '../../messages/reference/openapi.ts';
import { HubError } from '../../errors.ts';
import type { Metrics } from '../../services/metrics.ts';
import type { Operations } from '../../services/operations.ts';
import type { Statistics } from '../../services/statistics.ts';
import type { Store } from '../../store/store.ts';
import type { Exchange, Route } from './server.ts';

export interface HubRouteServices {
  store: Store;
  operations: Operations;
  statistics: Statistics;
  metrics: Metrics;
  stopping: () => boolean;
}

/** Beside the code as it runs: the sources, or what was built of them. */
const DEBUG_PAGE = new URL('../../../testing/ws_debug.html', import.meta.url);

const pathId = ({ params }: Exchange) => parse(WorkerPath, params).worker_id;

export function hubRoutes({ store, operations, statistics, metrics, stopping }: HubRouteServices): Route[] {
  return [
    {
      method: 'GET',
      path: '/workers',
      handle: async exchange => exchange.send(200, { workers: await operations.workers({}) }),
    },
    {
      method: 'GET',
      path: '/workers/:worker_id',
      handle: async exchange => {
        const worker_id = pathId(exchange);
        const [record] = await operations.workers({ worker_id });
        if (record === undefined) throw new HubError('not_found', `there is no worker ${worker_id}`);
        exchange.send(200, record);
      },
    },
    {
      method: 'POST',
      path: '/workers/:worker_id/drain',
      handle: async exchange => {
        const worker_id = pathId(exchange);
        const { reason, resume_at } = parse(DrainBody, (await exchange.body('{}')).body);
        const worker_ids = await operations.drain(
          { worker_id },
          { reason: reason ?? null, resume_at: resume_at ?? null },
        );
        exchange.send(202, { worker_ids });
      },
    },
    {
      method: 'POST',
      path: '/workers/:worker_id/resume',
      handle: async exchange =>
        exchange.send(202, { worker_ids: await operations.drain({ worker_id: pathId(exchange) }, null) }),
    },
    { method: 'GET', path: '/stats', handle: exchange => exchange.send(200, statistics.stats) },
    {
      method: 'GET',
      path: '/healthz',
      open: true,
      last: true,
      handle: exchange => exchange.send(200, { ok: true }),
    },
    {
      method: 'GET',
      path: '/readyz',
      open: true,
      last: true,
      handle: exchange => {
        const reason = stopping() ? 'the hub is stopping' : store.trouble;
        exchange.send(
          reason === null ? 200 : 503,
          { ready: reason === null, reason },
          reason === null ? {} : { 'Retry-After': '1' },
        );
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      last: true,
      handle: ({ response }) => {
        response.writeHead(200, {
          'Content-Type': 'text/plain; version=0.0.4; charset=utf-8',
          'Cache-Control': 'no-store',
        });
        response.end(metrics.text());
      },
    },
    { method: 'GET', path: '/debug', handle: debugPage },
    { method: 'GET', path: '/openapi.json', handle: exchange => exchange.send(200, openapi()) },
    { method: 'GET', path: '/asyncapi.json', handle: exchange => exchange.send(200, asyncapi()) },
  ];
}

async function debugPage({ response }: Exchange): Promise<void> {
  const page = await readFile(DEBUG_PAGE).catch(() => null);
  if (page === null) throw new HubError('not_found', 'this hub was built without the debug page');
  response.writeHead(200, {
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Length': page.length,
    'Content-Security-Policy': "frame-ancestors 'none'",
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-cache',
  });
  response.end(page);
}
