// NATS JetStream as its guides set up a work queue: a stream that drops what was acknowledged, a durable pull consumer
// with explicit acknowledgements, publication confirmed by the server. Results go over plain NATS to the submitter.

import {
  AckPolicy,
  connect,
  type JetStreamManager,
  JSONCodec,
  type NatsConnection,
  RetentionPolicy,
  StorageType,
} from 'nats';
import { type Address, fail, type Params, type Result, type Submitter, type System } from '../system.ts';

const job = JSONCodec<{ id: number; params: Params }>();
const outcome = JSONCodec<{ id: number; result: Result }>();
const CONSUMER = 'worker';

const streamOf = ({ run_id }: Address) => `bench-${run_id}`;
const jobsOf = ({ run_id }: Address) => `jobs.${run_id}`;
const resultsOf = ({ run_id }: Address) => `results.${run_id}`;

async function makeStream(manager: JetStreamManager, address: Address, slots: number): Promise<void> {
  await manager.streams.add({
    name: streamOf(address),
    subjects: [jobsOf(address)],
    retention: RetentionPolicy.Workqueue,
    storage: address.durability === 'memory' ? StorageType.Memory : StorageType.File,
  });
  await manager.consumers.add(streamOf(address), {
    durable_name: CONSUMER,
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: slots,
  });
}

const open = (address: Address): Promise<NatsConnection> => connect({ servers: address.url });

export const system: System = {
  async openSubmitter(address): Promise<Submitter> {
    const link = await open(address);
    const stream = link.jetstream();
    const listeners = new Map<number, (result: Result) => void>();
    let count = 0;
    link.subscribe(resultsOf(address), {
      callback: (error, message) => {
        if (error) fail(error);
        const { id, result } = outcome.decode(message.data);
        const ended = listeners.get(id);
        listeners.delete(id);
        ended?.(result);
      },
    });
    await link.flush();
    return {
      submit(params, acked, ended) {
        const id = count++;
        listeners.set(id, ended);
        stream.publish(jobsOf(address), job.encode({ id, params })).then(acked, fail);
      },
    };
  },

  async openMachine(address, { slots }, handle): Promise<void> {
    const link = await open(address);
    await makeStream(await link.jetstreamManager(), address, slots);
    const consumer = await link.jetstream().consumers.get(streamOf(address), CONSUMER);
    await consumer.consume({
      max_messages: slots,
      callback: message => {
        const { id, params } = job.decode(message.data);
        void Promise.resolve(handle(params)).then(result => {
          link.publish(resultsOf(address), outcome.encode({ id, result }));
          message.ack();
        });
      },
    });
  },
};
