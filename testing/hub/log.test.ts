/** The log of a real hub: the life of each job by name, and never what is in it. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Peer } from '../harness/peer.ts';
import { Fleet, until } from '../harness/fleet.ts';
import { startHubProcess } from '../harness/processes.ts';

/** In every place where an application, a worker or an operator can put something of their own. */
const CANARY = 'canary-7f3a';
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await Fleet.start({ LOG_LEVEL: 'trace' });
});
afterAll(() => fleet[Symbol.asyncDispose]());

type Line = Record<string, unknown> & { msg: string };

const linesOf = (output: string): Line[] =>
  output.split('\n').flatMap(text => (text.startsWith('{') ? [JSON.parse(text)] : []));
const lines = () => linesOf(fleet.hub.process.output);
const about = (job_id: string) => lines().filter(line => line['job_id'] === job_id);

describe('the life of a job', () => {
  test('is a line for each event, with the names of all concerned', async () => {
    await fleet.machine({ machine_id: 'm1', handler: { work: () => ({ ok: true }) } });
    const client = fleet.client({ client_id: 'studio' });
    const traceparent = `00-${TRACE}-00f067aa0ba902b7-01`;
    const job = await client.submit({ job_type: 'work', params: {}, traceparent });
    await job.result();
    await until('the last line', () => about(job.id).some(({ msg }) => msg === 'job completed'));
    const told = about(job.id);
    const of = (msg: string) => told.find(line => line.msg === msg);
    expect(of('job accepted')).toMatchObject({ client_id: 'studio', job_type: 'work', trace_id: TRACE });
    expect(of('job assigned')).toMatchObject({ worker_id: 'm1:gpu0', attempt: 1, trace_id: TRACE });
    expect(of('job completed')).toMatchObject({
      worker_id: 'm1:gpu0',
      attempt: 1,
      trace_id: TRACE,
      run_ms: expect.any(Number),
    });
    for (const line of told) expect(line['hub_id']).toMatch(/^h_/);
  });

  test('tells refusals, failures, cancels and what operators do', async () => {
    const client = fleet.client();
    await fleet.machine({
      machine_id: 'm2',
      handler: {
        bad: () => {
          throw Object.assign(new Error(CANARY), { code: 'no_weights', retryable: false });
        },
      },
    });
    const bad = await client.submit({ job_type: 'bad', params: {} });
    await bad.result().catch(() => {});
    await client.submit({ job_type: 'none', params: { a: 1 }, job_id: 'same' });
    await client.submit({ job_type: 'none', params: { a: 2 }, job_id: 'same' }).catch(() => {});
    await client.cancel('same');
    await fleet.api.drain('m2:gpu0', 'maintenance');
    const admin = await fleet.monitor();
    await admin.request({ type: 'pause_queue', job_type: 'none' });
    await until('all of it', () => lines().some(({ msg }) => msg === 'queue paused'));
    expect(about(bad.id).find(({ msg }) => msg === 'attempt failed')).toMatchObject({ code: 'no_weights' });
    expect(about('same').map(({ msg }) => msg)).toEqual([
      'job accepted',
      'job refused',
      'job cancel accepted',
    ]);
    expect(lines().find(({ msg }) => msg === 'workers drained')).toMatchObject({ worker_ids: ['m2:gpu0'] });
    expect(lines().find(({ msg }) => msg === 'machine registered')).toMatchObject({ level: 30 });
  });
});

describe('at the level trace, the log', () => {
  test('has no params, results, outputs, error texts, metadata or credentials', async () => {
    const client = fleet.client({ token: `${CANARY}-token` });
    const echo = (job: { params: object }, context: { progress: Function; output: Function }) => {
      context.progress(0.5, CANARY, { canary: CANARY });
      context.output({ canary: CANARY });
      return job.params;
    };
    const fail = () => {
      throw Object.assign(new Error(CANARY), { details: { canary: CANARY }, retryable: false });
    };
    await fleet.machine({ machine_id: 'm3', token: `${CANARY}-token`, handler: { echo, fail } });
    const metadata = { note: CANARY };
    await (await client.submit({ job_type: 'echo', params: { canary: CANARY }, metadata })).result();
    const failed = await client.submit({ job_type: 'fail', params: { canary: CANARY }, metadata });
    await failed.result().catch(() => {});
    const rogue = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });
    rogue.socket.send(`{"type":"submit_job","params":"${CANARY}"`);
    await rogue.request({ type: 'submit_job', job_type: CANARY.repeat(20), params: CANARY });
    await rogue.terminate();
    for (const [path, body] of [
      ['/jobs', `{"job_type": "${CANARY}`],
      [`/jobs?token=${CANARY}`, undefined],
    ] as const) {
      const headers = { authorization: `Bearer ${CANARY}`, cookie: CANARY };
      await fetch(
        `${fleet.hub.httpUrl}${path}`,
        body === undefined ? { headers } : { method: 'POST', headers, body },
      );
    }
    await until('the end of the failed job', () =>
      about(failed.id).some(({ msg }) => msg === 'attempt failed'),
    );
    expect(lines().length).toBeGreaterThan(5);
    expect(fleet.hub.process.output).not.toContain(CANARY);
  });
});

describe('an address beyond this machine', () => {
  const warnings = (output: string) =>
    linesOf(output).filter(({ level, msg }) => level === 40 && msg.includes('is an admin'));

  test('is warned of before the hub listens there, and no other is', async () => {
    // An address for documentation: no machine has it, so that the test opens no port to anybody.
    const HUB_HOST = '192.0.2.1';
    const hub = fleet.owns(
      await startHubProcess({ env: { REDIS_URL: fleet.redis.url, HUB_HOST, HUB_PORT: '0' } }),
    );
    await hub.exited;
    expect(warnings(hub.output)).toEqual([expect.objectContaining({ host: HUB_HOST })]);
    expect(warnings(fleet.hub.process.output)).toEqual([]);
  });
});

describe('SIGUSR2', () => {
  test('makes a running hub tell more, and as much as before again', async () => {
    const hub = await fleet.addHub({ LOG_LEVEL: 'info' });
    const said = () => linesOf(hub.process.output);
    const told = async (job_type: string) => {
      const client = fleet.client({ url: hub.wsUrl });
      const { id } = await client.submit({ job_type, params: {} });
      await client.close();
      return said().some(line => line['job_id'] === id && line.msg === 'job accepted');
    };
    const signal = async (level: string) => {
      hub.process.kill('SIGUSR2');
      await until(
        `the level ${level}`,
        () => said().findLast(({ log_level }) => log_level !== undefined)?.['log_level'] === level,
      );
    };
    expect(await told('before')).toBe(false);
    await signal('debug');
    await until('a line of a job', () => told('more'));
    await signal('trace');
    await signal('info');
    expect(await told('after')).toBe(false);
  });
});

test('a body that is cut off is no bug of the hub', async () => {
  const socket = connect(fleet.hub.port, '127.0.0.1');
  socket.write('POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"job_');
  await once(socket, 'connect');
  socket.destroy();
  const peer = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });
  await peer.none('error', 500);
  await peer.terminate();
  expect(lines().filter(({ msg }) => msg === 'a bug')).toEqual([]);
});
