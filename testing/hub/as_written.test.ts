/** JSON that the hub only hands on arrives as it was written: seeds of 64 bits, 7.0 that is no 7. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { MachinePeer, Peer } from '../harness/peer.ts';
import { Fleet } from '../harness/fleet.ts';

const PARAMS =
  '{"seed": 18446744073709551615, "scale":7.0,  "list":[1E2, 0.50, "\\u0041\\"}"], "__proto__":{"a":1}}';
const METADATA = '{"trace" : "\\u0041"}';
const RESULT = '{"seed":18446744073709551615,"score":0.10}';
const ERROR = 'the error of an attempt';

let fleet: Fleet;
let client: Peer;
let machine: MachinePeer;
/** What came, as text. */
const told = { client: '', machine: '' };
beforeAll(async () => {
  fleet = await Fleet.start();
  client = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });
  machine = await MachinePeer.register(fleet.hub.wsUrl, { machine_id: 'm1', job_types: ['image'] });
  client.socket.on('message', data => (told.client += (data as Buffer).toString()));
  machine.peer.socket.on('message', data => (told.machine += (data as Buffer).toString()));
});
afterAll(() => fleet[Symbol.asyncDispose]());
beforeEach(() => Object.assign(told, { client: '', machine: '' }));

const http = async (path: string, init?: RequestInit) =>
  (await fetch(`${fleet.hub.httpUrl}${path}`, init)).text();

/** The machine takes the job and ends it with bytes of its own. */
async function work(job_id: string): Promise<void> {
  const lease = await machine.assigned(job_id);
  const names = `"job_id":"${job_id}","lease_id":"${lease.lease_id}"`;
  machine.peer.sendRaw(`{"type":"job_output",${names},"index":0,"data":${RESULT}}`);
  machine.peer.sendRaw(
    `{"result":\n${RESULT}\n,"type":"job_completed",${names},"request_id":"end-${job_id}"}`,
  );
  await machine.peer.next(({ request_id }) => request_id === `end-${job_id}`);
}

test('from a submission to the machine, from the machine to the watcher, and in the record', async () => {
  const fields = '"job_id":"one","job_type":"image","watch":"all"';
  client.sendRaw(`{"type":"submit_job",${fields},"params":${PARAMS},\r\n"metadata":${METADATA}}`);
  await work('one');
  await client.next('job_completed');
  expect(told.machine).toContain(`"params":${PARAMS}`);
  expect(told.machine).toContain(`"metadata":${METADATA}`);
  expect(told.client).toContain(`"data":${RESULT}`);
  expect(told.client).toContain(`"result":${RESULT}`);
  await client.request({ type: 'get_job', job_id: 'one' });
  for (const record of [told.client.slice(told.client.indexOf('"type":"job",')), await http('/jobs/one')]) {
    expect(record).toContain(`"params":${PARAMS}`);
    expect(record).toContain(`"metadata":${METADATA}`);
    expect(record).toContain(`"result":${RESULT}`);
    expect(record).toContain('"error":null');
  }
});

test('the record is the same as in a list, but for the writing of numbers', async () => {
  const { job } = await client.request({ type: 'get_job', job_id: 'one' });
  const { jobs } = await client.request({ type: 'list_jobs', full: true });
  expect(jobs.find((other: { job_id: string }) => other.job_id === 'one')).toEqual(job);
});

test('from a batch, and from HTTP', async () => {
  client.sendRaw(
    `{"type":"submit_jobs","jobs":[ 5, {"job_id":"two","job_type":"image","params":${PARAMS}} ,{"job_id":"three","job_type":"image","params":{"n":2}}]}`,
  );
  await client.next('jobs_accepted');
  for (const job_id of ['two', 'three']) await work(job_id);
  expect(told.machine.split(`"params":${PARAMS}`)).toHaveLength(2);
  const body = `{"job_type":"image","params":${PARAMS}}`;
  const ended = http('/jobs/four?wait_ms=5000', { method: 'PUT', body });
  await work('four');
  expect(await ended).toContain(`"result":${RESULT}`);
  expect(told.machine.split(`"params":${PARAMS}`)).toHaveLength(3);
});

test('again when a job is retried, and in an error kept with the record', async () => {
  client.send({ type: 'submit_job', job_id: 'bad', job_type: 'image', params: {}, max_attempts: 1 });
  await machine.fail(await machine.assigned('bad'), { code: 'oom', message: ERROR, retryable: false });
  expect(await http('/jobs/bad')).toContain(`"message":"${ERROR}"`);
  const retried = JSON.parse(await http('/jobs/one/retry', { method: 'POST' }));
  await machine.complete(await machine.assigned(retried.job_id));
  expect(told.machine).toContain(`"params":${PARAMS}`);
});

test('the same job written otherwise is the same job', async () => {
  const again = await client.request({
    type: 'submit_job',
    job_id: 'three',
    job_type: 'image',
    params: { n: 2 },
  });
  expect(again).toMatchObject({ type: 'job_accepted', duplicate: true });
  client.sendRaw(
    '{"type":"submit_job","request_id":"x","job_id":"three","job_type":"image","params":{ "n" : 2.0 }}',
  );
  expect(await client.next(({ request_id }) => request_id === 'x')).toMatchObject({ duplicate: true });
});
