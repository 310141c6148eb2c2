// gpuhub by its bare protocol over `ws`: the same frames as the SDK's, with nothing around them. The difference
// to the cell "gpuhub" is the price of the SDK.

import type { Result, Submitter, System } from '../system.ts';
import { connectPeer } from '../ws_peer.ts';

interface Frame {
  type: string;
  job_id: string;
  lease_id: string;
  params: Record<string, unknown>;
  result: Result;
}

const PROTOCOL = 'gpuhub.v1';
const HEARTBEAT_MS = 5000;

export const system: System = {
  async openSubmitter({ url, run_id }): Promise<Submitter> {
    const waiting = new Map<string, { acked: () => void; ended: (result: Result) => void }>();
    let count = 0;
    const peer = await connectPeer<Frame>(`${url}/ws/client?client_id=bench`, PROTOCOL, frame => {
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
        peer.send({ type: 'submit_job', job_id, job_type: 'bench', params, watch: true });
      },
    };
  },

  async openMachine({ url }, { machine_id, slots }, handle): Promise<void> {
    const leases = new Map<string, { job_id: string; lease_id: string }>();
    let registered = () => {};
    const ready = new Promise<void>(resolve => {
      registered = resolve;
    });
    const peer = await connectPeer<Frame>(`${url}/ws/worker`, PROTOCOL, frame => {
      const { job_id, lease_id } = frame;
      if (frame.type === 'worker_registered') registered();
      if (frame.type === 'job_ack') leases.delete(lease_id);
      if (frame.type !== 'job_assigned') return;
      leases.set(lease_id, { job_id, lease_id });
      peer.send({ type: 'job_started', job_id, lease_id });
      // A handler is asynchronous in every other cell.
      void Promise.resolve(handle(frame.params)).then(result =>
        peer.send({ type: 'job_completed', job_id, lease_id, result }),
      );
    });
    peer.send({ type: 'register_worker', machine_id, gpu_count: slots, job_types: ['bench'] });
    setInterval(() => {
      const running = [...leases.values()];
      peer.send({ type: 'worker_heartbeat', workers: [], running });
    }, HEARTBEAT_MS);
    await ready;
  },
};
