// A load of jobs: so many a second for so long, mixed by shares. It knows nothing of sockets and timers: `tick` is
// called now and then and sends what is owed by the clock, `take` hears what the hub says.

type Frame = { type: string } & Record<string, unknown>;

/** One kind of job of the mix. */
export interface LoadKind {
  job_type: string;
  /** Of the sum of all shares. */
  share: number;
  priority: number;
  /** 0: any GPU. */
  vramGb: number;
  /** Told to the machine as `params.duration_ms`. */
  durationMs: number;
  paramsKb: number;
}

export interface LoadSettings {
  perSecond: number;
  seconds: number;
  kinds: readonly LoadKind[];
}

/** Jobs of one message, at most; the protocol allows 1,000. */
const BATCH_MAX = 200;
const BATCH_CHARS = 500_000;
/** Messages without an answer: beyond it the hub is slower than the load, and is waited for. */
const UNANSWERED_MAX = 4;

const ENDS: Record<string, keyof LoadCounts> = {
  job_completed: 'completed',
  job_failed: 'failed',
  job_expired: 'failed',
  job_cancelled: 'cancelled',
};

export interface LoadCounts {
  sent: number;
  accepted: number;
  refused: number;
  completed: number;
  failed: number;
  cancelled: number;
}

export class LoadRun {
  readonly settings: LoadSettings;
  readonly counts: LoadCounts = { sent: 0, accepted: 0, refused: 0, completed: 0, failed: 0, cancelled: 0 };
  /** Why jobs were refused, by the hub's code. */
  readonly refusals = new Map<string, number>();
  /** Accepted, and not ended yet. */
  readonly open = new Set<string>();
  /** When it began and when it sent the last, by the clock of `tick`. */
  readonly from: number;
  until: number;
  sending = true;
  readonly #name: string;
  readonly #send: (frame: Frame) => void;
  readonly #credits: number[];
  #unanswered = 0;
  #cancelling = false;
  #toCancel: string[] = [];

  constructor(name: string, settings: LoadSettings, send: (frame: Frame) => void, now: number) {
    this.settings = settings;
    this.from = this.until = now;
    this.#name = name;
    this.#send = send;
    this.#credits = settings.kinds.map(() => 0);
  }

  get total(): number {
    return Math.ceil(this.settings.perSecond * this.settings.seconds);
  }

  /** Jobs that should have been sent by now and were not: the hub is slower than the load. */
  behind(now: number): number {
    return this.sending ? Math.max(0, this.#due(now) - this.counts.sent) : 0;
  }

  /** Nothing is sent any more, and all that was accepted has ended. */
  get over(): boolean {
    return !this.sending && this.#unanswered === 0 && this.open.size === 0;
  }

  #due(now: number): number {
    return Math.min(this.total, Math.floor(((now - this.from) / 1000) * this.settings.perSecond));
  }

  /** Sends what is owed by now. */
  tick(now: number): void {
    while (this.behind(now) > 0 && this.#unanswered < UNANSWERED_MAX) {
      this.#submit(Math.min(BATCH_MAX, this.behind(now)));
      this.until = now;
    }
    if (this.counts.sent >= this.total) this.sending = false;
    for (const job_id of this.#toCancel.splice(0, BATCH_MAX)) {
      if (!this.open.has(job_id)) continue;
      this.#send({ type: 'cancel_job', job_id, reason: 'the load was cancelled' });
    }
  }

  /** Sends no more; what was sent goes on. */
  stop(): void {
    this.sending = false;
  }

  /** Cancels all that has not ended, some each tick; also what was sent and is accepted only now. */
  cancelRest(): void {
    this.stop();
    this.#cancelling = true;
    this.#toCancel = [...this.open];
  }

  take(frame: Frame): void {
    if (frame.type === 'jobs_accepted') this.#answered(frame['results'] as Frame[]);
    const end = ENDS[frame.type];
    // An end comes after the answer to its submission; one of a job that is not open was told twice.
    if (end !== undefined && this.open.delete(String(frame['job_id']))) this.counts[end]++;
  }

  /** The hub refused a whole message: nothing of it was taken. */
  refusedAll(code: string, jobs: number): void {
    this.#unanswered--;
    this.#refused(code, jobs);
  }

  #answered(results: readonly Frame[]): void {
    this.#unanswered--;
    for (const { job_id, error } of results) {
      if (error !== undefined) this.#refused(String((error as { code?: unknown }).code), 1);
      else {
        this.counts.accepted++;
        this.open.add(String(job_id));
        if (this.#cancelling) this.#toCancel.push(String(job_id));
      }
    }
  }

  #refused(code: string, jobs: number): void {
    this.counts.refused += jobs;
    this.refusals.set(code, (this.refusals.get(code) ?? 0) + jobs);
  }

  #submit(most: number): void {
    const jobs: object[] = [];
    for (let chars = 0; jobs.length < most && chars < BATCH_CHARS; ) {
      const kind = this.#nextKind();
      chars += kind.paramsKb * 1000;
      jobs.push(this.#job(kind));
    }
    this.#unanswered++;
    this.#send({ type: 'submit_jobs', jobs });
  }

  #job({ job_type, priority, vramGb, durationMs, paramsKb }: LoadKind): object {
    const filler = paramsKb > 0 ? { filler: 'x'.repeat(Math.round(paramsKb * 1000)) } : {};
    return {
      job_id: `${this.#name}:${this.counts.sent++}`,
      job_type,
      priority,
      ...(vramGb > 0 ? { requirements: { min_vram_mb: Math.round(vramGb * 1024) } } : {}),
      params: { duration_ms: durationMs, ...filler },
      watch: 'end',
    };
  }

  /** In turn by shares, not by chance: after any number of jobs the mix is as exact as it can be. */
  #nextKind(): LoadKind {
    const { kinds } = this.settings;
    const sum = kinds.reduce((total, { share }) => total + share, 0);
    kinds.forEach(({ share }, i) => (this.#credits[i] = (this.#credits[i] ?? 0) + share));
    const next = this.#credits.indexOf(Math.max(...this.#credits));
    this.#credits[next] = (this.#credits[next] ?? 0) - sum;
    return kinds[next] as LoadKind;
  }
}
