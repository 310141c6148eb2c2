/** OpenTelemetry: one trace a job across client, hubs, workers and retries, as a receiver of OTLP gets it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { submitTraced, traced } from '../../core/sdk/tracing.ts';
import { startTelemetry, type Telemetry } from '../../core/telemetry.ts';
import { OtlpReceiver, type ReceivedSpan } from '../harness/otlp_receiver.ts';
import { MachinePeer } from '../harness/peer.ts';
import { startProcess } from '../harness/processes.ts';
import { Fleet, until } from '../harness/fleet.ts';

let receiver: OtlpReceiver;
let fleet: Fleet;
let shop: Telemetry;
let rig: Telemetry;
let api: string[];
beforeAll(async () => {
  receiver = await OtlpReceiver.start();
  const settings = {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_BSP_SCHEDULE_DELAY: '50',
    OTEL_METRIC_EXPORT_INTERVAL: '100',
  };
  // The SDK of this process reads them too.
  Object.assign(process.env, settings);
  shop = (await startTelemetry(process.env, 'shop')) as Telemetry;
  rig = (await startTelemetry(process.env, 'rig')) as Telemetry;
  fleet = await Fleet.start({ ...settings, LEASE_MS: '800', REAP_INTERVAL_MS: '100' });
  api = [fleet.hub.httpUrl, (await fleet.addHub()).httpUrl];
});
afterAll(async () => {
  await Promise.all([shop.stop(), rig.stop()]);
  await fleet[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
});

const ws = (index: number) => (api[index] as string).replace('http', 'ws');
const named = (spans: ReceivedSpan[], name: string) => spans.filter(span => span.name === name);

/** The spans of a job's trace, when this many are there. */
const traceOf = (job_id: string, count: number) =>
  until(`${count} spans of ${job_id}`, () => {
    const id = receiver.spans.find(({ attributes }) => attributes['gpuhub.job_id'] === job_id)?.traceId;
    const spans = receiver.spans.filter(({ traceId }) => traceId === id);
    return spans.length >= count && spans;
  });

describe('one trace a job', () => {
  test('from the client over the hub to the worker', async () => {
    const handler = traced(rig, () => 'done');
    await fleet.machine({ machine_id: 'plain', handler: { plain: handler } });
    const job = await submitTraced(fleet.client(), shop, { job_type: 'plain', params: { secret: 'canary' } });
    await job.result();
    const spans = await traceOf(job.id, 6);
    expect(spans.map(({ service, name }) => `${service}: ${name}`).sort()).toEqual([
      'gpuhub: attempt 1',
      'gpuhub: job plain',
      'gpuhub: submit',
      'gpuhub: wait',
      'rig: run plain',
      'shop: submit plain',
    ]);
    const [root, whole, submit, wait, attempt, run] = [
      'submit plain',
      'job plain',
      'submit',
      'wait',
      'attempt 1',
      'run plain',
    ].map(name => named(spans, name)[0] as ReceivedSpan) as [
      ReceivedSpan,
      ReceivedSpan,
      ReceivedSpan,
      ReceivedSpan,
      ReceivedSpan,
      ReceivedSpan,
    ];
    expect(root.parentSpanId).toBe('');
    expect(whole.parentSpanId).toBe(root.spanId);
    for (const { parentSpanId } of [submit, wait, attempt]) expect(parentSpanId).toBe(whole.spanId);
    expect(run.parentSpanId).toBe(attempt.spanId);
    expect(attempt.start_ms).toBe(wait.end_ms);
    expect(attempt.end_ms).toBeLessThanOrEqual(whole.end_ms);
    expect(whole.attributes).toMatchObject({ 'gpuhub.status': 'completed', 'gpuhub.job_type': 'plain' });
    expect(attempt.attributes).toMatchObject({
      'gpuhub.worker_id': 'plain:gpu0',
      'gpuhub.attempt': 1,
      'gpuhub.outcome': 'completed',
    });
    expect(JSON.stringify(spans)).not.toContain('canary');
  });

  test('with a span for each attempt, linked to the one before, also when a lease ran out on another hub', async () => {
    let tries = 0;
    const flaky = traced(rig, () => {
      tries += 1;
      if (tries === 1) throw Object.assign(new Error('no luck'), { code: 'no_luck' });
      return tries;
    });
    const lost = await MachinePeer.register(ws(1), { machine_id: 'lost', job_types: ['flaky'] });
    const client = fleet.client();
    const job = await submitTraced(client, shop, { job_type: 'flaky', params: {}, backoff_ms: 1 });
    lost.started(await lost.assigned(job.id));
    await until('the first sign', async () => (await client.getJob(job.id)).status === 'processing');
    await lost.terminate();
    await fleet.machine({ machine_id: 'second', handler: { flaky } });
    await job.result();
    const spans = await until('the end of the trace', async () => {
      const found = await traceOf(job.id, 11);
      return named(found, 'job flaky').length === 1 && found;
    });
    const attempts = [1, 2, 3].map(number => named(spans, `attempt ${number}`)[0] as ReceivedSpan);
    expect(attempts.map(({ attributes, status }) => [attributes['gpuhub.outcome'], status])).toEqual([
      ['lease_expired', 2],
      ['failed', 2],
      ['completed', 0],
    ]);
    expect(attempts.map(({ links }) => links.map(({ spanId }) => spanId))).toEqual([
      [],
      [attempts[0]?.spanId],
      [attempts[1]?.spanId],
    ]);
    const runs = named(spans, 'run flaky');
    expect(runs.map(({ parentSpanId }) => parentSpanId).sort()).toEqual(
      attempts
        .slice(-2)
        .map(({ spanId }) => spanId)
        .sort(),
    );
    expect(named(spans, 'wait')).toHaveLength(attempts.length);
  });

  test('that a hub begins, where the client has none; over HTTP the header is taken', async () => {
    await fleet.machine({ machine_id: 'bare', handler: { bare: job => job.traceparent ?? null } });
    const job = await fleet.client().submit({ job_type: 'bare', params: {} });
    const told = String(await job.result());
    const spans = await traceOf(job.id, 4);
    const whole = named(spans, 'job bare')[0] as ReceivedSpan;
    expect(whole.parentSpanId).toBe('');
    expect(told).toBe(`00-${whole.traceId}-${named(spans, 'attempt 1')[0]?.spanId}-01`);

    const trace_id = '4bf92f3577b34da6a3ce929d0e0e4736';
    const answer = await fetch(`${api[0]}/jobs?wait_ms=5000`, {
      method: 'POST',
      headers: { traceparent: `00-${trace_id}-00f067aa0ba902b7-01` },
      body: JSON.stringify({ job_type: 'bare', params: {}, job_id: 'over-http' }),
    });
    expect(((await answer.json()) as { result: string }).result).toContain(trace_id);
    const over = await traceOf('over-http', 4);
    expect(named(over, 'job bare')[0]).toMatchObject({ traceId: trace_id, parentSpanId: '00f067aa0ba902b7' });
  });

  test('ends also when nobody ever ran the job', async () => {
    const client = fleet.client();
    const late = await client.submit({ job_type: 'nobody', params: {}, start_timeout_ms: 50 });
    await late.result().catch(() => {});
    expect(named(await traceOf(late.id, 2), 'job nobody')[0]?.attributes['gpuhub.status']).toBe('expired');
    const unwanted = await client.submit({ job_type: 'nobody', params: {} });
    await unwanted.cancel();
    expect(named(await traceOf(unwanted.id, 2), 'job nobody')[0]?.attributes['gpuhub.status']).toBe(
      'cancelled',
    );
  });
});

describe('a submission sent again in another trace', () => {
  test('is the same job', async () => {
    const job = { job_type: 'again', params: { a: 1 }, job_id: 'again' };
    const [first, second, third] = await Promise.all(
      [0, 1, 0].map(hub => submitTraced(fleet.client({ url: ws(hub) }), shop, job)),
    );
    expect([first, second, third].filter(handle => handle?.accepted?.duplicate === false)).toHaveLength(1);
    const changed = { ...job, params: { a: 2 } };
    await expect(submitTraced(fleet.client(), shop, changed)).rejects.toMatchObject({ code: 'conflict' });
  });
});

describe('metrics', () => {
  test('tell processed, failed and mean processing time', async () => {
    const names = ['gpuhub.jobs.processed', 'gpuhub.jobs.failed', 'gpuhub.jobs.mean_processing_time'];
    await until('the metrics', () => names.every(name => receiver.metrics.has(name)));
    expect(receiver.metrics.get('gpuhub.jobs.processed')).toBeGreaterThanOrEqual(0);
    await until('the jobs in them', () => (receiver.metrics.get('gpuhub.jobs.processed') ?? 0) >= 4);
    await until('the failed attempt', () => (receiver.metrics.get('gpuhub.jobs.failed') ?? 0) === 1);
  });
});

describe('when nobody asks for it', () => {
  test('nothing of it is loaded', async () => {
    const script = `
      import { startTelemetry } from './core/telemetry.ts';
      import { createRequire } from 'node:module';
      import { Hub } from './core/hub.ts';
      const telemetry = await startTelemetry(process.env, 'hub');
      const { cache } = createRequire(import.meta.url);
      const loaded = Object.keys(cache).filter(path => path.includes('opentelemetry'));
      console.log(JSON.stringify({ on: telemetry !== null, loaded: loaded.length > 0, hub: typeof Hub }));
      process.exit();`;
    const said = async (endpoint: string | undefined) => {
      const env = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint };
      const args = ['--import', 'tsx', '--input-type=module', '-e', script];
      const child = startProcess(process.execPath, args, { env });
      await child.exited;
      return JSON.parse(child.output.trim().split('\n').at(-1) as string);
    };
    const [off, on] = await Promise.all([said(undefined), said(receiver.url)]);
    expect(off).toEqual({ on: false, loaded: false, hub: 'function' });
    expect(on).toEqual({ on: true, loaded: true, hub: 'function' });
  });

  test('it can be switched off, and asked for by either endpoint', async () => {
    expect(await startTelemetry({ ...process.env, OTEL_SDK_DISABLED: 'true' }, 'x')).toBeNull();
    const only = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${receiver.url}/v1/traces` };
    const telemetry = await startTelemetry(only, 'x');
    expect(telemetry).not.toBeNull();
    await telemetry?.stop();
  });
});
