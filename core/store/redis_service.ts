import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import { randomId } from '../random_ids.ts';
import { HubError } from '../errors.ts';
import { parse } from '../messages/codec.ts';
import { Name } from '../messages/fields.ts';
import { type JobRecord, Submission } from '../messages/job.ts';
import { keyOf } from './keys.ts';
import { sharedSettings } from './layout.ts';
import { RedisLink } from './redis_link.ts';
import { RedisStore } from './redis_store.ts';
import { contentOf, type Submitted } from './store.ts';

const Submitter = z.object({ client_id: Name });

export interface RedisServiceOptions {
  host?: string;
  port?: number;
  db?: number;
  password?: string;
  /** Instead of host, port, db and password. */
  url?: string;
}

/** A job as `submit_job` takes it, and who submits it. */
export type NewJob = Partial<Submission> & Pick<Submission, 'job_type' | 'params'> & { client_id?: string };

/**
 * The queue in Redis without a hub in between: for programs that run beside it and have its password. Hubs on the same
 * Redis run what is added.
 *
 *     const queue = new RedisService({ host: 'localhost', port: 6379, db: 0 });
 *     await queue.addJob({ job_id: 'test-job-123', job_type: 'image_generation', priority: 5, params: { prompt: 'a sunset' } });
 *     console.log(await queue.getJobStatus('test-job-123'));
 *     await queue.close();
 */
export class RedisService {
  readonly #environment: Record<string, string | undefined>;
  #opened: Promise<RedisStore> | undefined;

  constructor(options: RedisServiceOptions = {}) {
    const { host, port, db, password, url } = options;
    this.#environment = {
      REDIS_HOST: host,
      REDIS_PORT: port?.toString(),
      REDIS_DB: db?.toString(),
      REDIS_PASSWORD: password,
      REDIS_URL: url,
    };
  }

  /**
   * Adds a job. Redis holds it when this resolves; the same job_id with the same content adds nothing.
   *
   * @throws HubError `invalid_message`, `conflict` (other content under this job_id), `queue_full`, `unavailable`
   */
  async addJob(
    job: NewJob,
  ): Promise<{ job_id: string; status: JobRecord['status']; duplicate: boolean; seq: number }> {
    const store = await this.#open();
    const { client_id, ...fields } = job;
    const submission = parse(Submission, fields);
    const job_id = submission.job_id ?? `j_${randomId()}`;
    const content = contentOf(submission, client_id === undefined ? {} : parse(Submitter, { client_id }));
    const submitted = await new Promise<Submitted>((resolve, reject) => {
      store.submit(job_id, content, null, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
    if ('status' in submitted) {
      const { status, outcome, seq } = submitted;
      return { job_id, status, duplicate: outcome === 'duplicate', seq };
    }
    throw submitted.outcome === 'conflict'
      ? new HubError('conflict', `field "job_id": ${job_id} is taken by a job with other content`)
      : new HubError(
          'queue_full',
          'too many different combinations of job_type and requirements are waiting',
        );
  }

  /** The state of a job, or null if there is none of that id. @throws HubError `unavailable` */
  async getJobStatus(job_id: string): Promise<JobRecord['status'] | null> {
    return (await this.getJob(job_id))?.status ?? null;
  }

  /** The whole record, or null. @throws HubError `unavailable` */
  async getJob(job_id: string): Promise<JobRecord | null> {
    const store = await this.#open();
    return (await store.get(job_id))?.record(true) ?? null;
  }

  async close(): Promise<void> {
    const store = await this.#opened?.catch(() => undefined);
    store?.close();
  }

  #open(): Promise<RedisStore> {
    this.#opened ??= this.#connect();
    return this.#opened;
  }

  /** The order of the queue depends on settings that the hubs share: they are read before anything is added. */
  async #connect(): Promise<RedisStore> {
    const link = new RedisLink(readConfig(this.#environment), new Map());
    await link.open([]);
    const shared = await sharedSettings(link, name => keyOf(0, name)).finally(() => link.close());
    // Not `h_…`: it is no hub, so every hub must be woken for what it adds.
    const hub_id = `s_${randomBytes(6).toString('hex')}`;
    const store = new RedisStore(readConfig({ ...this.#environment, ...shared }), {
      hub_id,
      shares_layout: false,
    });
    await store.open();
    return store;
  }
}
