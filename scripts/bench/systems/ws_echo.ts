// The floor ws_echo, seen from its client: a job is one message and its echo. There is no worker.

import { nowMs, type Params, type Result, type Submitter, type System } from '../system.ts';
import { connectPeer } from '../ws_peer.ts';

export interface EchoFrame {
  id: number;
  params: Params;
}

export const system: System = {
  async openSubmitter({ url }): Promise<Submitter> {
    const waiting = new Map<number, { acked: () => void; ended: (result: Result) => void }>();
    let count = 0;
    const peer = await connectPeer<EchoFrame>(url, 'floor', ({ id }) => {
      const job = waiting.get(id);
      waiting.delete(id);
      job?.acked();
      job?.ended({ started_ms: nowMs() });
    });
    return {
      submit(params, acked, ended) {
        const id = count++;
        waiting.set(id, { acked, ended });
        peer.send({ id, params } satisfies EchoFrame);
      },
    };
  },

  openMachine: async () => {},
};
