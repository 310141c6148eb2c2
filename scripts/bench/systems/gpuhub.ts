// gpuhub by its SDK, used as an application would.

import { GpuhubClient } from '../../../core/sdk/client.ts';
import { GpuhubWorker } from '../../../core/sdk/worker.ts';
import type { Machine, Result, Submitter, System } from '../system.ts';

function fail(error: unknown): never {
  throw error;
}

export const system: System = {
  async openSubmitter({ hub_url }): Promise<Submitter> {
    const client = new GpuhubClient({ url: hub_url as string });
    await client.connect();
    return {
      submit(params, acked, ended) {
        client
          .submit({ job_type: 'bench', params })
          .then(handle => {
            acked();
            return handle.result<Result>().then(ended);
          })
          .catch(fail);
      },
      close: () => client.close(),
    };
  },

  async openMachine({ hub_url }, slots, handle): Promise<Machine> {
    const worker = new GpuhubWorker({
      url: hub_url as string,
      machine_id: 'bench',
      gpu_count: slots,
      job_types: ['bench'],
      handler: job => handle(job.params),
    });
    await worker.start();
    return { close: () => worker.stop() };
  },
};
