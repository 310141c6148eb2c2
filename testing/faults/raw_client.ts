/** A client of section 3 of the protocol on nothing but `ws`: an independent check of the SDK. */
import WebSocket from 'ws';
import type { ClientPlan } from './client_process.ts';
import type { Ledger } from './ledger.ts';
import type { Job } from './workload.ts';

interface Followed {
  job: Job;
  /** `sent`: no answer yet; `accepted`: Redis holds it, as far as we were told. */
  state: 'new' | 'sent' | 'accepted';
  /** How often it was submitted. */
  tries: number;
  seq: number;
  /** The hub was asked to tell again what came after this seq. */
  asked_from: number;
  done: () => void;
}

// `any`: the frames of a hub that is under test; each case reads the fields of its type.
type Frame = { type: string; [field: string]: any };

const RETRY_MS = { least: 50, most: 300 };
const SILENT_INTERVALS = 2.5;
/** The hub takes 1,000 at once. */
const WATCH_MAX = 500;
const TERMINAL = ['job_completed', 'job_failed', 'job_cancelled', 'job_expired'];

export class RawClient {
  readonly #plan: ClientPlan;
  readonly #ledger: Ledger;
  readonly #jobs = new Map<string, Followed>();
  /** Cancels without an answer, by job. */
  readonly #cancels = new Map<string, () => void>();
  #socket: WebSocket | undefined;
  #tries = 0;
  #ping_ms = 15_000;
  #open = false;
  #closed = false;
  #watchdog: NodeJS.Timeout | undefined;

  constructor(plan: ClientPlan, ledger: Ledger) {
    this.#plan = plan;
    this.#ledger = ledger;
    this.#connect();
    if (plan.stop_reading) {
      const { at_ms, for_ms } = plan.stop_reading;
      setTimeout(() => this.#stopReading(for_ms), at_ms);
    }
  }

  /** Until the job has ended, or was refused for good. */
  submit(job: Job): Promise<void> {
    return new Promise(done => {
      this.#jobs.set(job.job_id, { job, state: 'new', tries: 0, seq: 0, asked_from: Infinity, done });
      if (this.#open) this.#submit(job.job_id);
    });
  }

  cancel(job_id: string): Promise<void> {
    return new Promise(done => {
      this.#cancels.set(job_id, done);
      this.#write('cancel', { job_id });
      this.#send({ type: 'cancel_job', job_id, request_id: `cancel ${job_id}` });
    });
  }

  close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#watchdog);
    this.#socket?.close();
    return Promise.resolve();
  }

  #write(op: string, fields: object): void {
    this.#ledger.write(this.#plan.name, op, fields);
  }

  /** As a program that hangs: its side of the connection fills up. */
  #stopReading(for_ms: number): void {
    const socket = this.#socket;
    clearTimeout(this.#watchdog);
    socket?.pause();
    this.#write('stops reading', { for_ms });
    setTimeout(() => {
      this.#write('reads again', {});
      if (socket?.isPaused) socket.resume();
    }, for_ms);
  }

  #connect(): void {
    const url = this.#plan.urls[this.#tries++ % this.#plan.urls.length] as string;
    const socket = new WebSocket(`${url}/ws/client?client_id=${this.#plan.name}`, 'gpuhub.v1', {
      handshakeTimeout: 5000,
      perMessageDeflate: false,
    });
    this.#socket = socket;
    const alive = () => {
      clearTimeout(this.#watchdog);
      if (!socket.isPaused)
        this.#watchdog = setTimeout(() => socket.terminate(), this.#ping_ms * SILENT_INTERVALS);
    };
    socket.on('message', data => {
      alive();
      this.#read(JSON.parse(String(data)) as Frame);
    });
    socket.on('ping', alive);
    socket.on('error', () => undefined);
    socket.on('close', code => this.#lost(code));
  }

  #lost(code: number): void {
    clearTimeout(this.#watchdog);
    this.#open = false;
    if (this.#closed) return;
    this.#write('down', { why: `close ${code}` });
    for (const { job, state } of this.#jobs.values())
      if (state === 'sent') this.#write('submitted', { job_id: job.job_id, outcome: 'unknown' });
    setTimeout(() => this.#connect(), RETRY_MS.least + Math.random() * (RETRY_MS.most - RETRY_MS.least));
  }

  #send(message: object): void {
    if (this.#open) this.#socket?.send(JSON.stringify(message));
  }

  #submit(job_id: string): void {
    const followed = this.#jobs.get(job_id);
    if (!followed || followed.state === 'accepted' || !this.#open) return;
    followed.state = 'sent';
    followed.tries += 1;
    this.#write('submit', { job_id });
    // Sent again, it does not watch: what happened before the answer is only told by a replay, which is asked for then.
    const watch = followed.tries === 1;
    this.#send({ type: 'submit_job', request_id: `submit ${job_id}`, ...followed.job, watch });
  }

  #watch(job_ids: string[]): void {
    for (let i = 0; i < job_ids.length; i += WATCH_MAX) {
      const part = job_ids.slice(i, i + WATCH_MAX);
      const after_seq = Object.fromEntries(part.map(id => [id, this.#jobs.get(id)?.seq ?? 0]));
      for (const id of part) {
        const followed = this.#jobs.get(id);
        if (followed) followed.asked_from = followed.seq;
      }
      this.#send({ type: 'watch_jobs', job_ids: part, after_seq });
    }
  }

  #read(frame: Frame): void {
    const job_id = frame['job_id'] as string;
    switch (frame.type) {
      case 'welcome':
        return this.#opened(frame);
      case 'job_accepted':
        return this.#accepted(frame);
      case 'job_cancel_accepted':
        this.#write('cancelled', { job_id, outcome: 'ok', status: frame['status'] });
        return this.#cancelAnswered(job_id);
      case 'jobs_watched':
        for (const id of frame['not_found'] as string[]) this.#notFound(id);
        return;
      case 'error':
        return this.#refused(frame);
      default:
        if (frame['seq'] !== undefined && this.#jobs.has(job_id)) this.#event(frame);
    }
  }

  #opened(frame: Frame): void {
    this.#open = true;
    this.#ping_ms = frame['ping_interval_ms'];
    this.#write('up', { hub_id: frame['hub_id'] });
    const accepted = [...this.#jobs.values()].filter(({ state }) => state === 'accepted');
    this.#watch(accepted.map(({ job }) => job.job_id));
    for (const [job_id, { state }] of this.#jobs) if (state !== 'accepted') this.#submit(job_id);
    for (const job_id of this.#cancels.keys())
      this.#send({ type: 'cancel_job', job_id, request_id: `cancel ${job_id}` });
  }

  #accepted({ job_id, duplicate }: Frame): void {
    const followed = this.#jobs.get(job_id);
    if (!followed) return;
    this.#write('submitted', { job_id, outcome: 'ok', duplicate });
    followed.state = 'accepted';
    if (followed.tries > 1) this.#watch([job_id]);
  }

  /** Redis has lost a job that it had accepted: the protocol says to submit it again under its id. */
  #notFound(job_id: string): void {
    const followed = this.#jobs.get(job_id);
    if (!followed) return;
    this.#write('not found', { job_id });
    followed.state = 'new';
    this.#submit(job_id);
  }

  #refused({ request_id, code, details }: Frame): void {
    const [what, job_id] = String(request_id).split(' ') as [string, string];
    if (what === 'cancel') {
      if (code === 'unavailable') {
        setTimeout(() => this.#send({ type: 'cancel_job', job_id, request_id }), RETRY_MS.most);
        return;
      }
      this.#write('cancelled', { job_id, outcome: 'fail', code });
      return this.#cancelAnswered(job_id);
    }
    const followed = this.#jobs.get(job_id);
    if (what !== 'submit' || !followed) {
      // A watch that Redis could not answer: all of them again.
      if (code === 'unavailable') setTimeout(() => this.#watchAll(), RETRY_MS.most);
      return;
    }
    if (code === 'unavailable' || code === 'queue_full' || code === 'rate_limited') {
      const outcome = code === 'unavailable' && details?.outcome === 'unknown' ? 'unknown' : 'none';
      this.#write('submitted', { job_id, outcome, code });
      setTimeout(() => this.#submit(job_id), RETRY_MS.most);
      return;
    }
    this.#write('submitted', { job_id, outcome: 'fail', code });
    this.#jobs.delete(job_id);
    followed.done();
  }

  #watchAll(): void {
    const accepted = [...this.#jobs.values()].filter(({ state }) => state === 'accepted');
    this.#watch(accepted.map(({ job }) => job.job_id));
  }

  #cancelAnswered(job_id: string): void {
    this.#cancels.get(job_id)?.();
    this.#cancels.delete(job_id);
  }

  #event(frame: Frame): void {
    const { job_id, type, seq, attempt } = frame;
    const followed = this.#jobs.get(job_id as string) as Followed;
    // Told already while the replay was on its way, which we asked for.
    const numbered = type !== 'job_progress' && type !== 'job_output';
    if (numbered && seq <= followed.seq && seq > followed.asked_from) return;
    const lease_id = type === 'job_completed' ? frame['result']?.lease_id : undefined;
    this.#write('event', { job_id, type, seq, attempt, ...(lease_id && { lease_id }) });
    followed.seq = Math.max(followed.seq, seq as number);
    if (!TERMINAL.includes(type)) return;
    this.#jobs.delete(job_id as string);
    followed.done();
  }
}
