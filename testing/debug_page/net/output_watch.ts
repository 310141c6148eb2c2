// The output of one job, followed over a client connection of its own, as only clients watch jobs. When it breaks, the
// watch is taken up where it was: the hub is told the last event and the last output that came.

import type { JobRecord } from '../../../core/messages/job.ts';
import { isJobEvent } from '../state/job_events.ts';
import { hasEnded } from '../state/job_times.ts';
import { touch } from '../state/live.ts';
import { OutputLog } from '../state/output_log.ts';
import { backoffMs } from './backoff.ts';
import { Connection, type Frame } from './connection.ts';
import { socketUrl } from './hub_address.ts';
import { link } from './hub_link.ts';

const CLIENT_ID = 'debug-page';
const ENDS: ReadonlySet<string> = new Set(['job_completed', 'job_failed', 'job_cancelled', 'job_expired']);

export class OutputWatch {
  readonly log = new OutputLog();
  /** `over`: nothing more will come. */
  state: 'connecting' | 'live' | 'away' | 'over' = 'connecting';
  readonly #jobId: string;
  #connection: Connection | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tries = 0;

  constructor(jobId: string) {
    this.#jobId = jobId;
    this.#connect();
  }

  /** Nobody looks any more. */
  stop(): void {
    this.#end();
  }

  #connect(): void {
    const url = socketUrl(link.hub, 'client', CLIENT_ID);
    const options = { url, role: 'client', name: 'output', token: link.token, own: true } as const;
    try {
      this.#connection = new Connection(options);
    } catch {
      // The browser itself says no; the page's own connection says why.
      return this.#is('away');
    }
    const connection = this.#connection;
    connection.onFrame = frame => this.#take(frame);
    connection.onOpen = () => void this.#watch(connection).catch(() => connection.close());
    connection.onClose = () => this.#lost();
  }

  async #watch(connection: Connection): Promise<void> {
    const { seq, next } = this.log;
    const id = this.#jobId;
    const answer = await connection.request({
      type: 'watch_jobs',
      job_ids: [id],
      // An index belongs to the assignment its seq falls in; before any seq is known, all that is kept is asked for.
      ...(seq > 0 ? { after_seq: { [id]: seq } } : {}),
      after_output: { [id]: next - 1 },
    });
    this.#tries = 0;
    const [record] = answer['jobs'] as JobRecord[];
    if (record === undefined) return this.#end();
    if (!hasEnded(record)) return this.#is('live');
    // What is kept of an ended job follows at once; the next answer comes after it.
    await connection.request({ type: 'ping' });
    this.#end();
  }

  #take(frame: Frame): void {
    if (!isJobEvent(frame) || frame.job_id !== this.#jobId) return;
    this.log.take(frame);
    touch('output');
    if (ENDS.has(frame.type)) this.#end();
  }

  #lost(): void {
    if (this.state === 'over') return;
    this.#is('away');
    this.#timer = setTimeout(() => this.#connect(), backoffMs(this.#tries++));
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#is('over');
    this.#connection?.close();
  }

  #is(state: OutputWatch['state']): void {
    this.state = state;
    touch('output');
  }
}
