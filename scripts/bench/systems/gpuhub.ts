// gpuhub by its SDK, used as an application would.

import { GpuhubClient } from '../../../core/sdk/client.ts';
import { GpuhubWorker } from '../../../core/sdk/worker.ts';
import { fail, type Result, type Submitter, type System } from '../system.ts';

export const system: System = {
  async openSubmitter({ url }): Promise<Submitter> {
    const client = new GpuhubClient({ url });
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
    };
  },

  async openMachine({ url }, { machine_id, slots }, handle): Promise<void> {
    const worker = new GpuhubWorker({
      url,
      machine_id,
      gpu_count: slots,
      job_types: ['bench'],
      handler: job => handle(job.params),
    });
    await worker.start();
  },
};
