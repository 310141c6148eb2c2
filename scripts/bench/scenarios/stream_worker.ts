// A process with one machine whose jobs send outputs at a steady rate.

import { serve } from '../served.ts';
import { nowMs } from '../system.ts';
import { type LoadSocket, openSocket } from './load_socket.ts';

interface Frame {
  type: string;
  job_id: string;
  lease_id: string;
}

interface Running {
  job_id: string;
  lease_id: string;
  index: number;
}

export interface Streaming {
  /** Outputs of each job. */
  per_second: number;
  seconds: number;
}

const TICK_MS = 1;
const HEARTBEAT_MS = 5000;

let socket: LoadSocket;
const running = new Map<string, Running>();

function read(data: Buffer, registered: () => void): void {
  const { type, job_id, lease_id } = JSON.parse(data.toString()) as Frame;
  if (type === 'worker_registered') registered();
  if (type === 'error') throw new Error(data.toString());
  if (type !== 'job_assigned') return;
  running.set(lease_id, { job_id, lease_id, index: 0 });
  socket.send({ type: 'job_started', job_id, lease_id });
}

async function open({ url, slots }: { url: string; slots: number }): Promise<void> {
  let registered = () => {};
  const answered = new Promise<void>(resolve => {
    registered = resolve;
  });
  socket = await openSocket(`${url}/ws/worker`, data => read(data, registered));
  socket.send({ type: 'register_worker', machine_id: 'stream', gpu_count: slots, job_types: ['bench'] });
  await answered;
  setInterval(() => {
    const leases = [...running.values()].map(({ job_id, lease_id }) => ({ job_id, lease_id }));
    socket.send({ type: 'worker_heartbeat', workers: [], running: leases });
  }, HEARTBEAT_MS);
}

function sendOutput(job: Running): void {
  const { job_id, lease_id } = job;
  socket.send({
    type: 'job_output',
    job_id,
    lease_id,
    index: job.index++,
    data: { token: ' newspaper', sent_ms: nowMs() },
  });
}

/** The jobs send evenly, one after the other, as tokens of different models come. @returns outputs sent */
function stream({ per_second, seconds }: Streaming): Promise<number> {
  const jobs = [...running.values()];
  const rate = per_second * jobs.length;
  const total = rate * seconds;
  const began = nowMs();
  let sent = 0;
  return new Promise(resolve => {
    const ticking = setInterval(() => {
      const due = Math.min(total, ((nowMs() - began) / 1000) * rate);
      for (; sent < due; sent++) sendOutput(jobs[sent % jobs.length] as Running);
      if (sent < total) return;
      clearInterval(ticking);
      resolve(sent);
    }, TICK_MS);
  });
}

serve({ open, running: () => running.size, stream });
