// gpuhub by its bare protocol over `ws`: the same frames as the SDK's, with nothing around them. The difference
// to the cell "gpuhub" is the price of the SDK.

import { once } from 'node:events';
import type { Socket } from 'node:net';
import WebSocket from 'ws';
import type { Machine, Result, Submitter, System } from '../system.ts';

interface Frame {
  type: string;
  job_id: string;
  lease_id: string;
  params: Record<string, unknown>;
  result: Result;
}

interface Peer {
  send(text: string): void;
  close(): Promise<void>;
}

/** All frames of one turn leave in one write, as the SDK does it. */
function corkedSend(ws: WebSocket, socket: Socket): (text: string) => void {
  let corked = false;
  const uncork = () => {
    corked = false;
    socket.uncork();
  };
  return text => {
    if (!corked) {
      corked = true;
      socket.cork();
      process.nextTick(uncork);
    }
    ws.send(text);
  };
}

/** Connects and waits for the first frame, `welcome`; all later ones go to `read`. */
async function connect(url: string, read: (frame: Frame) => void): Promise<Peer> {
  const ws = new WebSocket(url, ['gpuhub.v1'], { perMessageDeflate: false });
  const [[response]] = await Promise.all([once(ws, 'upgrade'), once(ws, 'message')]);
  ws.on('message', data => read(JSON.parse((data as Buffer).toString())));
  const socket = (response as { socket: Socket }).socket;
  socket.setNoDelay(true);
  return {
    send: corkedSend(ws, socket),
    close: async () => {
      ws.close();
      await once(ws, 'close');
    },
  };
}

const HEARTBEAT_MS = 5000;

export const system: System = {
  async openSubmitter({ hub_url, run_id }): Promise<Submitter> {
    const waiting = new Map<string, { acked: () => void; ended: (result: Result) => void }>();
    let count = 0;
    const peer = await connect(`${hub_url}/ws/client?client_id=bench`, frame => {
      const job = waiting.get(frame.job_id);
      if (frame.type === 'error') throw new Error(JSON.stringify(frame));
      if (job === undefined) return;
      if (frame.type === 'job_accepted') job.acked();
      if (frame.type !== 'job_completed') return;
      waiting.delete(frame.job_id);
      job.ended(frame.result);
    });
    return {
      submit(params, acked, ended) {
        const job_id = `${run_id}-${count++}`;
        waiting.set(job_id, { acked, ended });
        peer.send(JSON.stringify({ type: 'submit_job', job_id, job_type: 'bench', params, watch: true }));
      },
      close: () => peer.close(),
    };
  },

  async openMachine({ hub_url }, slots, handle): Promise<Machine> {
    const leases = new Map<string, { job_id: string; lease_id: string }>();
    let registered = () => {};
    const ready = new Promise<void>(resolve => {
      registered = resolve;
    });
    const peer = await connect(`${hub_url}/ws/worker`, frame => {
      const { job_id, lease_id } = frame;
      if (frame.type === 'worker_registered') registered();
      if (frame.type === 'job_ack') leases.delete(lease_id);
      if (frame.type !== 'job_assigned') return;
      leases.set(lease_id, { job_id, lease_id });
      peer.send(JSON.stringify({ type: 'job_started', job_id, lease_id }));
      // A handler is asynchronous in every other cell.
      void Promise.resolve(handle(frame.params)).then(result =>
        peer.send(JSON.stringify({ type: 'job_completed', job_id, lease_id, result })),
      );
    });
    peer.send(
      JSON.stringify({
        type: 'register_worker',
        machine_id: 'bench',
        gpu_count: slots,
        job_types: ['bench'],
      }),
    );
    const beat = setInterval(() => {
      const running = [...leases.values()];
      peer.send(JSON.stringify({ type: 'worker_heartbeat', workers: [], running }));
    }, HEARTBEAT_MS);
    await ready;
    return {
      close: () => {
        clearInterval(beat);
        return peer.close();
      },
    };
  },
};
