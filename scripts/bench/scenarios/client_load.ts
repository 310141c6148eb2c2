// A process with many clients that submit jobs and wait for their ends.

import { makeParams } from '../payload.ts';
import { serve } from '../served.ts';
import { nowMs } from '../system.ts';
import { type LoadSocket, openMany, openSocket } from './load_socket.ts';

let clients: LoadSocket[] = [];
/** Jobs that have not ended, with what to call then. */
const waiting = new Map<string, () => void>();
let submitted = 0;
/** Told with each job accepted. */
let accepted = () => {};

function read(data: Buffer): void {
  const frame = JSON.parse(data.toString()) as { type: string; job_id: string };
  if (frame.type === 'error' || frame.type === 'job_failed') throw new Error(data.toString());
  if (frame.type === 'job_accepted') accepted();
  if (frame.type !== 'job_completed') return;
  const ended = waiting.get(frame.job_id);
  waiting.delete(frame.job_id);
  ended?.();
}

/** @param run_id makes the ids of one process differ from those of another */
function submit(client: LoadSocket, run_id: string, watch: boolean, ended: () => void): void {
  const job_id = `${run_id}-${submitted++}`;
  if (watch) waiting.set(job_id, ended);
  const params = { ...makeParams(submitted), sent_ms: nowMs() };
  client.send({ type: 'submit_job', job_id, job_type: 'bench', params, watch });
}

/** Each client submits one job. @returns ms from its submission to the end, of each */
function submitEach(run_id: string): Promise<number[]> {
  return new Promise(resolve => {
    const times: number[] = [];
    for (const client of clients) {
      const sent_ms = nowMs();
      submit(client, run_id, true, () => {
        times.push(nowMs() - sent_ms);
        if (times.length === clients.length) resolve(times);
      });
    }
  });
}

/** Submissions of one client under way: a burst would leave its garbage in the memory of the hub. */
const IN_FLIGHT = 32;

/** One client submits jobs that nobody will end, and waits until all are accepted. */
function submitMany({ run_id, count }: { run_id: string; count: number }): Promise<void> {
  return new Promise(resolve => {
    let [sent, answered] = [0, 0];
    const next = () => {
      if (sent++ < count) submit(clients[0] as LoadSocket, run_id, false, () => {});
    };
    accepted = () => {
      next();
      if (++answered === count) resolve();
    };
    for (let i = 0; i < IN_FLIGHT; i++) next();
  });
}

interface Pace {
  run_id: string;
  jobs: number;
  per_second: number;
}

/** One client submits at a steady rate. @returns ms from the submission to the end, of each */
function pace({ run_id, jobs, per_second }: Pace): Promise<number[]> {
  return new Promise(resolve => {
    const times: number[] = [];
    const begun = nowMs();
    let sent = 0;
    const next = () => {
      const sent_ms = nowMs();
      sent += 1;
      submit(clients[0] as LoadSocket, run_id, true, () => {
        times.push(nowMs() - sent_ms);
        if (times.length === jobs) resolve(times);
      });
      if (sent < jobs) setTimeout(next, begun + (sent * 1000) / per_second - nowMs());
    };
    next();
  });
}

serve({
  open: async ({ url, count }: { url: string; count: number }) => {
    clients = await openMany(count, () => openSocket(`${url}/ws/client?client_id=bench`, read));
  },
  submitEach,
  submitMany,
  pace,
});
