// RabbitMQ as its guides set it up for jobs that must not be lost: a durable queue, persistent messages, publisher
// confirms, acknowledgement by the worker after the job, and a prefetch of as many as it has slots. Results come to an
// exclusive queue of the submitter's. Publishers and consumers have connections of their own. Without noDelay each
// message waits for Nagle's timer: a third of the throughput.

import { connect } from 'amqplib';
import { fail, type Params, type Result, type Submitter, type System } from '../system.ts';

const queueOf = (run_id: string) => `jobs-${run_id}`;
const parse = (content: Buffer) => JSON.parse(content.toString()) as unknown;
const toBuffer = (value: unknown) => Buffer.from(JSON.stringify(value));

async function open(url: string) {
  const connection = await connect(url, { noDelay: true });
  connection.on('error', fail);
  return connection;
}

export const system: System = {
  async openSubmitter({ url, run_id }): Promise<Submitter> {
    const [publishing, consuming] = await Promise.all([open(url), open(url)]);
    const [jobs, results] = await Promise.all([publishing.createConfirmChannel(), consuming.createChannel()]);
    const queue = queueOf(run_id);
    await jobs.assertQueue(queue, { durable: true });
    const { queue: replyTo } = await results.assertQueue('', { exclusive: true });

    const listeners = new Map<string, (result: Result) => void>();
    let count = 0;
    const take = (message: { content: Buffer; properties: { correlationId?: unknown } } | null) => {
      const id = String(message?.properties.correlationId);
      const ended = listeners.get(id);
      listeners.delete(id);
      if (message !== null) ended?.(parse(message.content) as Result);
    };
    await results.consume(replyTo, take, { noAck: true });
    return {
      submit(params, acked, ended) {
        const correlationId = String(count++);
        listeners.set(correlationId, ended);
        jobs.sendToQueue(queue, toBuffer(params), { persistent: true, correlationId, replyTo }, error =>
          error ? fail(error) : acked(),
        );
      },
    };
  },

  async openMachine({ url, run_id }, { slots }, handle): Promise<void> {
    const [consuming, publishing] = await Promise.all([open(url), open(url)]);
    const [jobs, results] = await Promise.all([consuming.createChannel(), publishing.createChannel()]);
    const queue = queueOf(run_id);
    await jobs.assertQueue(queue, { durable: true });
    await jobs.prefetch(slots);
    await jobs.consume(queue, message => {
      if (message === null) return;
      const { replyTo, correlationId } = message.properties;
      void Promise.resolve(handle(parse(message.content) as Params)).then(result => {
        results.sendToQueue(String(replyTo), toBuffer(result), { correlationId });
        jobs.ack(message);
      });
    });
  },
};
