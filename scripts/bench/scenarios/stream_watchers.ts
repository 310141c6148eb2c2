// A process with the clients that watch jobs which stream.

import { setTimeout as sleep } from 'node:timers/promises';
import { serve } from '../served.ts';
import { nowMs } from '../system.ts';
import { type LoadSocket, openMany, openSocket } from './load_socket.ts';

/** What came since it was last asked for. */
export interface Seen {
  outputs: number;
  /** From a worker's send to arrival here, ms, of a sample. */
  delays: number[];
  /** Sockets that the hub closed. */
  closed: number;
}

export interface Watching {
  url: string;
  watchers: number;
  jobs: number;
  /** One output in so many is read for its delay; the others are counted only, since reading is the dearer part. */
  sample: number;
}

const nothing = (): Seen => ({ outputs: 0, delays: [], closed: 0 });
let seen = nothing();
const QUIET_MS = 3000;
/** How many outputs are waited for, and what to do when they are there. */
let awaited = { outputs: Infinity, done: () => {} };

/** Reads one socket: `answered` is called with each frame that is no event. */
function reader(sample: number, answered: (type: string) => void): (data: Buffer) => void {
  return data => {
    if (!data.includes('"job_output"'))
      return answered((JSON.parse(data.toString()) as { type: string }).type);
    if (seen.outputs++ % sample === 0) {
      const { sent_ms } = (JSON.parse(data.toString()) as { data: { sent_ms: number } }).data;
      seen.delays.push(nowMs() - sent_ms);
    }
    if (seen.outputs === awaited.outputs) awaited.done();
  };
}

/** Waits until so many outputs came since the last call, or nothing more comes. */
async function arrived(outputs: number): Promise<Seen> {
  const all = new Promise<void>(resolve => {
    awaited = { outputs, done: resolve };
  });
  if (seen.outputs < outputs) await Promise.race([all, quiet()]);
  const since = seen;
  seen = nothing();
  return since;
}

/** Nothing came for a while: what is missing will not come. */
async function quiet(): Promise<void> {
  for (let before = -1; before !== seen.outputs; ) {
    before = seen.outputs;
    await sleep(QUIET_MS);
  }
}

/** Opens a socket, sends one message, and waits for the answer of that type. */
async function request(url: string, sample: number, message: object, type: string): Promise<LoadSocket> {
  let answered = () => {};
  const answer = new Promise<void>(resolve => {
    answered = resolve;
  });
  const read = reader(sample, got => {
    if (got === 'error') throw new Error('the hub answered with an error');
    if (got === type) answered();
  });
  const socket = await openSocket(`${url}/ws/client`, read, () => {
    seen.closed += 1;
  });
  socket.send(message);
  await answer;
  return socket;
}

const job = (job_id: string, watch: boolean) => ({ job_id, job_type: 'bench', params: {}, watch });

/** Each client submits a job of its own and watches it. */
async function openOwn({ url, watchers, sample }: Watching): Promise<void> {
  await openMany(watchers, i =>
    request(url, sample, { type: 'submit_job', ...job(`own-${i}`, true) }, 'job_accepted'),
  );
}

/** All clients watch the same jobs. */
async function openShared({ url, watchers, jobs, sample }: Watching): Promise<void> {
  const job_ids = Array.from({ length: jobs }, (_, i) => `shared-${i}`);
  const submit = { type: 'submit_jobs', jobs: job_ids.map(id => job(id, false)) };
  await request(url, sample, submit, 'jobs_accepted');
  await openMany(watchers, () => request(url, sample, { type: 'watch_jobs', job_ids }, 'jobs_watched'));
}

serve({
  openOwn,
  openShared,
  arrived,
});
