// The floor mini_hub, seen from its two sides.

import type { Params, Result, Submitter, System } from '../system.ts';
import { connectPeer } from '../ws_peer.ts';

export interface FromClient {
  id: string;
  params: Params;
}
type ToClient = { type: 'ack'; id: string } | { type: 'ended'; id: string; result: Result };
interface ToWorker {
  id: string;
  params: Params;
}
export type FromWorker = { type: 'ready'; slots: number } | { type: 'result'; id: string; result: Result };

export const system: System = {
  async openSubmitter({ url, run_id }): Promise<Submitter> {
    const waiting = new Map<string, { acked: () => void; ended: (result: Result) => void }>();
    let count = 0;
    const peer = await connectPeer<ToClient>(`${url}/client`, 'floor', message => {
      const job = waiting.get(message.id);
      if (message.type === 'ack') job?.acked();
      else {
        waiting.delete(message.id);
        job?.ended(message.result);
      }
    });
    return {
      submit(params, acked, ended) {
        const id = `${run_id}-${count++}`;
        waiting.set(id, { acked, ended });
        peer.send({ id, params } satisfies FromClient);
      },
    };
  },

  async openMachine({ url }, { slots }, handle): Promise<void> {
    const peer = await connectPeer<ToWorker>(`${url}/worker`, 'floor', ({ id, params }) => {
      void Promise.resolve(handle(params)).then(result =>
        peer.send({ type: 'result', id, result } satisfies FromWorker),
      );
    });
    peer.send({ type: 'ready', slots } satisfies FromWorker);
  },
};
