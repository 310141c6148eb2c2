// A process with many machines of one GPU each, which register, beat, and either end their jobs at once or hold them.

import { makeResult } from '../payload.ts';
import { serve } from '../served.ts';
import { fail, nowMs } from '../system.ts';
import { type LoadSocket, openMany, openSocket } from './load_socket.ts';

interface Frame {
  type: string;
  job_id: string;
  lease_id: string;
  params: { sent_ms?: number };
  jobs: { action: string }[];
}

export interface Crowd {
  url: string;
  /** What the ids of its machines begin with; `m` if not given. */
  name?: string;
  count: number;
  /** GPUs of each. */
  slots: number;
}

const BEAT_TICK_MS = 20;

/** Do the machines keep their jobs, or end them at once? */
let holding = false;
/** From submission to arrival at a machine, ms. */
let dispatched: number[] = [];

class LoadMachine {
  readonly #crowd: Crowd;
  readonly #machine_id: string;
  readonly #leases = new Map<string, { job_id: string; lease_id: string }>();
  #socket: LoadSocket | undefined;
  #registered: (frame: Frame) => void = () => {};

  constructor(crowd: Crowd, machine_id: string) {
    this.#crowd = crowd;
    this.#machine_id = machine_id;
  }

  get leases(): number {
    return this.#leases.size;
  }

  /** Connects and registers. @returns how many of its leases go on */
  async open(): Promise<number> {
    this.#socket = await openSocket(`${this.#crowd.url}/ws/worker`, data => this.#read(data));
    const answer = new Promise<Frame>(resolve => {
      this.#registered = resolve;
    });
    this.#socket.send({
      type: 'register_worker',
      machine_id: this.#machine_id,
      gpu_count: this.#crowd.slots,
      job_types: ['bench'],
      running: [...this.#leases.values()],
    });
    return (await answer).jobs.filter(({ action }) => action === 'continue').length;
  }

  beat(): void {
    this.#socket?.send({ type: 'worker_heartbeat', workers: [], running: [...this.#leases.values()] });
  }

  cut(): void {
    this.#socket?.cut();
  }

  #read(data: Buffer): void {
    const frame = JSON.parse(data.toString()) as Frame;
    if (frame.type === 'worker_registered') this.#registered(frame);
    if (frame.type === 'job_assigned') this.#work(frame);
    if (frame.type === 'error') throw new Error(data.toString());
  }

  #work({ job_id, lease_id, params }: Frame): void {
    if (params.sent_ms !== undefined) dispatched.push(nowMs() - params.sent_ms);
    this.#socket?.send({ type: 'job_started', job_id, lease_id });
    if (holding) this.#leases.set(lease_id, { job_id, lease_id });
    else this.#socket?.send({ type: 'job_completed', job_id, lease_id, result: makeResult(params) });
  }
}

let machines: LoadMachine[] = [];
let beating: NodeJS.Timeout | undefined;

/** Heartbeats evenly over the interval, so that the hub gets them one by one, as from machines of their own. */
function beat(interval_ms: number): void {
  clearInterval(beating);
  const began = nowMs();
  let sent = 0;
  beating = setInterval(() => {
    const due = ((nowMs() - began) * machines.length) / interval_ms;
    for (; sent < due; sent++) machines[sent % machines.length]?.beat();
  }, BEAT_TICK_MS);
}

/** All at once. @returns ms until the last is registered again, and how many leases go on */
async function reconnect(count: number): Promise<{ ms: number; continued: number }> {
  const back = machines.slice(0, count);
  const began = nowMs();
  for (const machine of back) machine.cut();
  const continued = await Promise.all(back.map(machine => machine.open()));
  return { ms: nowMs() - began, continued: continued.reduce((sum, one) => sum + one, 0) };
}

serve({
  open: async (crowd: Crowd) => {
    machines = Array.from(
      { length: crowd.count },
      (_, i) => new LoadMachine(crowd, `${crowd.name ?? 'm'}${i}`),
    );
    await openMany(crowd.count, i => (machines[i] as LoadMachine).open()).catch(fail);
  },
  beat,
  hold: () => {
    holding = true;
  },
  leases: () => machines.reduce((sum, machine) => sum + machine.leases, 0),
  reconnect,
  dispatched: () => {
    const times = dispatched;
    dispatched = [];
    return times;
  },
});
