/** `/metrics` of a real hub, judged by promtool and scraped by a real Prometheus. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ensurePrometheus } from '../../scripts/prometheus.ts';
import { MachinePeer } from '../harness/peer.ts';
import { freePort, startProcess } from '../harness/processes.ts';
import { byHand, Fleet, until } from '../harness/fleet.ts';

const MONITORING = new URL('../../docker/monitoring/', import.meta.url);
const path = (name: string) => new URL(name, MONITORING).pathname;

const tools = await ensurePrometheus();
const missing = 'missing' in tools ? tools.missing : null;
if (missing !== null) console.log(`left out, what needs prometheus: ${missing}`);

let fleet: Fleet;
let machine: MachinePeer;
beforeAll(async () => {
  fleet = await Fleet.start({ LEASE_MS: '1000', HEARTBEAT_INTERVAL_MS: '200', REAP_INTERVAL_MS: '100' });
  machine = await MachinePeer.register(fleet.hub.wsUrl, {
    machine_id: 'rack1',
    job_types: ['none'],
    gpus: [{ index: 0, name: 'NVIDIA RTX 4090', vram_mb: 24_576 }, { index: 1 }],
  });
  const telemetry = { gpu_util: 80, vram_used_mb: 12_288, temperature_c: 71, power_w: 320 };
  await machine.heartbeat([], [{ worker_id: 'rack1:gpu0', ...telemetry }]);
  let tries = 0;
  await fleet.machine({
    machine_id: 'rack2',
    handler: {
      echo: job => job.params,
      flaky: () => {
        tries += 1;
        if (tries === 1) throw new Error('the first try fails');
        return tries;
      },
    },
  });
  const client = fleet.client();
  for (let i = 0; i < 3; i++) await (await client.submit({ job_type: 'echo', params: {} })).result();
  await (await client.submit({ job_type: 'flaky', params: {}, backoff_ms: 1 })).result();
  await client.submit({ job_type: 'nobody', params: {} });
  await (await client.submit({ job_type: 'nobody', params: {}, job_id: 'unwanted' })).cancel();
});
afterAll(async () => {
  await machine.terminate();
  await fleet[Symbol.asyncDispose]();
});

async function scrape(): Promise<Map<string, number>> {
  const lines = (await text()).split('\n').filter(line => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map(line => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

const text = async () => (await fetch(`${fleet.hub.httpUrl}/metrics`)).text();

/** Metrics when this one has this value: what all hubs tell is up to a second old. */
const when = (name: string, value: number) =>
  until(`${name} ${value}`, async () => {
    const found = await scrape();
    return found.get(name) === value && found;
  });

describe('/metrics', () => {
  test('counts jobs by state and type, started, retried and ended', async () => {
    const found = await when('gpuhub_jobs_cancelled_total{type="nobody"}', 1);
    expect(Object.fromEntries(found)).toMatchObject({
      'gpuhub_jobs{type="nobody",state="queued"}': 1,
      'gpuhub_jobs{type="echo",state="processing"}': 0,
      'gpuhub_jobs_submitted_total{type="echo"}': 3,
      'gpuhub_jobs_submitted_total{type="nobody"}': 2,
      'gpuhub_jobs_completed_total{type="echo"}': 3,
      'gpuhub_jobs_completed_total{type="flaky"}': 1,
      'gpuhub_jobs_failed_total{type="flaky"}': 0,
      'gpuhub_jobs_expired_total{type="echo"}': 0,
      'gpuhub_jobs_started_total{type="flaky"}': 2,
      'gpuhub_jobs_retried_total{type="flaky"}': 1,
      'gpuhub_jobs_retried_total{type="echo"}': 0,
      'gpuhub_job_run_seconds_count{type="echo"}': 3,
      'gpuhub_job_queue_seconds_bucket{type="echo",le="+Inf"}': 3,
      gpuhub_dispatch_seconds_count: 5,
      gpuhub_redis_up: 1,
      'gpuhub_sockets{role="worker"}': 2,
      'gpuhub_sockets{role="client"}': 1,
    });
    for (const name of [
      'gpuhub_redis_round_trip_seconds_count',
      'gpuhub_frames_received_total',
      'gpuhub_frames_sent_total',
      'gpuhub_oldest_queued_seconds',
      'process_cpu_seconds_total',
    ])
      expect(found.get(name), name).toBeGreaterThan(0);
    expect(found.has('gpuhub_event_loop_lag_p99_seconds')).toBe(true);
  });

  test('has gauges for each GPU that says something, and they vanish when its machine leaves', async () => {
    expect(Object.fromEntries(await scrape())).toMatchObject({
      'gpuhub_slots{state="idle"}': 3,
      'gpuhub_gpu_utilization_ratio{worker="rack1:gpu0"}': 0.8,
      'gpuhub_gpu_memory_used_bytes{worker="rack1:gpu0"}': 12_288 * 2 ** 20,
      'gpuhub_gpu_memory_bytes{worker="rack1:gpu0"}': 24_576 * 2 ** 20,
      'gpuhub_gpu_temperature_celsius{worker="rack1:gpu0"}': 71,
      'gpuhub_gpu_power_watts{worker="rack1:gpu0"}': 320,
      'gpuhub_gpu_busy{worker="rack1:gpu1"}': 0,
    });
    await machine.terminate();
    const after = await when('gpuhub_slots{state="idle"}', 1);
    expect([...after.keys()].filter(name => name.includes('rack1'))).toEqual([]);
  });

  test('counts leases that ran out, and words that were fenced', async () => {
    const before = await scrape();
    const lost = await MachinePeer.register(fleet.hub.wsUrl, { machine_id: 'lost', job_types: ['held'] });
    const client = fleet.client();
    const job = await client.submit({ job_type: 'held', params: {} });
    const lease = await lost.assigned(job.id);
    lost.started(lease);
    await when('gpuhub_leases_expired_total', (before.get('gpuhub_leases_expired_total') as number) + 1);
    const work = byHand();
    await fleet.machine({ machine_id: 'heir', handler: { held: work.handler } });
    await work.run(0, job.id);
    expect(await lost.complete(lease)).toMatchObject({ accepted: false, code: 'stale_lease' });
    await when('gpuhub_fenced_total', (before.get('gpuhub_fenced_total') as number) + 1);
    await lost.terminate();
  });

  test('is there also while Redis is away, without what only Redis knows', async () => {
    await using alone = await Fleet.start();
    const read = async () => (await fetch(`${alone.hub.httpUrl}/metrics`)).text();
    expect(await read()).toMatch(/^gpuhub_redis_up 1$/m);
    expect(await read()).toContain('gpuhub_hubs 1');
    await alone.redis.stop();
    const said = await until('Redis to be missed', async () => {
      const found = await read();
      return /^gpuhub_redis_up 0$/m.test(found) && found;
    });
    expect(said).not.toContain('gpuhub_hubs');
    expect(said).toContain('gpuhub_sockets{role="client"} 0');
  });

  test('tells at most 50 types apart', async () => {
    const client = fleet.client();
    const types = Array.from({ length: 80 }, (_, i) => `many${i}`);
    for (const job_type of types) await client.submit({ job_type, params: {} });
    const found = await until('the other types', async () => {
      const now = await scrape();
      const submitted = [...now].filter(([name]) => name.startsWith('gpuhub_jobs_submitted_total'));
      return submitted.reduce((sum, [, value]) => sum + value, 0) === 87 && new Map(submitted);
    });
    expect(found.size).toBe(51);
    expect(found.get('gpuhub_jobs_submitted_total{type="other"}')).toBeGreaterThanOrEqual(30);
  });
});

/** Runs promtool to its end. @returns its exit code and what it said */
async function promtool(args: string[], input = ''): Promise<{ code: number; said: string }> {
  const child = spawn((tools as { promtool: string }).promtool, args);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (said += String(chunk)));
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number];
  return { code, said };
}

/** Names of metrics in an expression, or in anything that has some. */
const namesIn = (expression: string) => expression.match(/\b(?:gpuhub|process|nodejs)_[a-z0-9_]+/g) ?? [];

describe('what operators get', () => {
  test('the dashboard and the alerts use only metrics that there are', async () => {
    const said = await text();
    const known = new Set(
      [...said.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name, kind]) =>
        kind === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
      ),
    );
    const dashboard = JSON.parse(await readFile(path('dashboards/gpuhub.json'), 'utf8'));
    const expressions: string[] = dashboard.panels.flatMap((panel: { targets?: { expr: string }[] }) =>
      (panel.targets ?? []).map(target => target.expr),
    );
    expect(expressions.length).toBeGreaterThan(30);
    const alerts = await readFile(path('alerts.yml'), 'utf8');
    const used = [...expressions, alerts].flatMap(namesIn);
    expect(used.filter(name => !known.has(name))).toEqual([]);
  });

  test('the documentation names every metric, and none that there is not', async () => {
    const families = [...(await text()).matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name as string);
    const documented = new Set(
      namesIn((await readFile(path('README.md'), 'utf8')).split('## Traces')[0] as string),
    );
    expect([...documented].sort()).toEqual(families.sort());
  });

  test('nothing is left out in CI', () => {
    expect(process.env['CI'] === 'true' ? missing : null).toBeNull();
  });

  describe.skipIf(missing !== null)('by the tools of Prometheus', () => {
    test('promtool finds nothing wrong with the metrics', async () => {
      expect(await promtool(['check', 'metrics'], await text())).toEqual({ code: 0, said: '' });
    });

    test('promtool finds nothing wrong with the alerts, and they fire when they should', async () => {
      for (const args of [
        ['check', 'config', path('prometheus.yml')],
        ['test', 'rules', path('alerts.test.yml')],
      ]) {
        const { code, said } = await promtool(args);
        expect(code, said).toBe(0);
      }
    });

    test('a Prometheus scrapes it, and answers every expression of the dashboard and the alerts', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'gpuhub-prometheus-'));
      const config = (await readFile(path('prometheus.yml'), 'utf8'))
        .replace('hub:8000', new URL(fleet.hub.httpUrl).host)
        .replace('alerts.yml', path('alerts.yml'))
        .replace(/(scrape|evaluation)_interval: \d+s/g, '$1_interval: 200ms');
      await writeFile(join(folder, 'prometheus.yml'), config);
      const port = await freePort();
      const url = `http://127.0.0.1:${port}`;
      const server = startProcess((tools as { prometheus: string }).prometheus, [
        `--config.file=${folder}/prometheus.yml`,
        `--storage.tsdb.path=${folder}/data`,
        `--web.listen-address=127.0.0.1:${port}`,
      ]);
      try {
        await server.waitForHttp(`${url}/-/ready`);
        const ask = async (query: string) => {
          const answer = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(query)}`);
          return (await answer.json()) as { status: string; data: { result: { value: [number, string] }[] } };
        };
        const completed = await until('the jobs in Prometheus', async () => {
          const { data } = await ask('gpuhub_jobs_completed_total{type="echo"}');
          return data.result[0]?.value[1];
        });
        expect(completed).toBe('3');
        const targets = (await (await fetch(`${url}/api/v1/targets`)).json()) as {
          data: { activeTargets: { health: string; lastError: string }[] };
        };
        expect(targets.data.activeTargets).toMatchObject([{ health: 'up', lastError: '' }]);
        const dashboard = JSON.parse(await readFile(path('dashboards/gpuhub.json'), 'utf8'));
        for (const { targets: shown = [] } of dashboard.panels) {
          for (const { expr } of shown) {
            const { status } = await ask(expr.replaceAll('$__rate_interval', '1m'));
            expect(status, expr).toBe('success');
          }
        }
        await until('the alerts to be evaluated', async () => {
          const { data } = (await (await fetch(`${url}/api/v1/rules`)).json()) as {
            data: { groups: { rules: { health: string }[] }[] };
          };
          return data.groups[0]?.rules.every(({ health }) => health === 'ok');
        });
      } finally {
        await server.stop();
        await rm(folder, { recursive: true, force: true });
      }
    });
  });
});
