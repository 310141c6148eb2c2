// A hub that only plays: it serves the debug page and answers its monitor connection with a made-up fleet and as many
// events a second as asked, in the order a real hub sends them. It exists to see how the page bears what no real fleet
// of a test could make; what the events do to the hub is other suites' concern.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { JobRecord } from '../../core/messages/job.ts';
import type { Stats } from '../../core/messages/stats.ts';
import type { WorkerRecord } from '../../core/messages/worker.ts';

const PAGE = new URL('../ws_debug.html', import.meta.url);
const GPUS_A_MACHINE = 8;
const TICK_MS = 10;
const STATS_MS = 1000;
const HISTORY_S = 900;
/** Every so many events of a running job are its end, and the start of another. */
const EVENTS_A_JOB = 8;
const KINDS = [
  ['NVIDIA H100 80GB HBM3', 81_920],
  ['NVIDIA A100-SXM4-80GB', 81_920],
  ['NVIDIA L40S', 49_152],
  ['NVIDIA GeForce RTX 4090', 24_576],
] as const;
const TYPES = ['image.generate', 'video.render', 'transcribe'] as const;

export interface FloodOptions {
  /** GPUs, eight a machine. */
  gpus: number;
  /** Jobs that wait, beside one on each busy GPU. */
  waiting: number;
}

interface Running {
  job: JobRecord;
  worker: WorkerRecord;
  told: number;
}

const pick = <T>(list: readonly T[], n: number): T => list[n % list.length] as T;

export class FloodHub implements AsyncDisposable {
  /** Events sent so far, statistics apart. */
  sent = 0;
  readonly #server: Server;
  readonly #sockets = new Set<WebSocket>();
  readonly #workers: WorkerRecord[] = [];
  readonly #waiting: JobRecord[] = [];
  readonly #running: Running[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  #jobs = 0;
  #completed: number | undefined;
  #seq = 1;
  #turn = 0;

  private constructor(server: Server, { gpus, waiting }: FloodOptions) {
    this.#server = server;
    for (let i = 0; i < gpus; i++) this.#workers.push(this.#worker(i));
    for (let i = 0; i < waiting; i++) this.#waiting.push(this.#job());
    for (const worker of this.#workers) {
      if (worker.status === 'busy')
        this.#running.push({ job: this.#start(this.#job(), worker), worker, told: 0 });
    }
  }

  static async start(options: FloodOptions): Promise<FloodHub> {
    const page = await readFile(PAGE);
    const server = createServer((request, response) => {
      const isPage = request.url?.startsWith('/debug') === true;
      response.writeHead(200, { 'content-type': isPage ? 'text/html; charset=utf-8' : 'application/json' });
      response.end(isPage ? page : '{"ready":true}');
    });
    const hub = new FloodHub(server, options);
    const sockets = new WebSocketServer({ server, handleProtocols: () => 'gpuhub.v1' });
    sockets.on('connection', socket => hub.#take(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    hub.#every(STATS_MS, () => hub.#tell({ type: 'stats', ...hub.#stats(Date.now()) }));
    return hub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/debug`;
  }

  /** Sends this many events a second from now on, until the returned function is called. */
  flood(perSecond: number): () => void {
    const from = performance.now();
    let told = 0;
    // By the clock, not by the tick: a late tick sends what it owes.
    return this.#every(TICK_MS, () => {
      const owed = Math.floor(((performance.now() - from) / 1000) * perSecond);
      for (; told < owed; told++) this.#event();
    });
  }

  /** Sends exactly this many events at once, about the first `among` of the GPUs at work. */
  burst(count: number, among = this.#running.length): void {
    for (let i = 0; i < count; i++) this.#event(among);
  }

  /** Sends the statistics now, with this number of completed jobs from now on. */
  tellCompleted(completed: number): void {
    this.#completed = completed;
    this.#tell({ type: 'stats', ...this.#stats(Date.now()) });
  }

  #every(ms: number, run: () => void): () => void {
    const timer = setInterval(run, ms);
    this.#timers.add(timer);
    return () => clearInterval(timer);
  }

  #take(socket: WebSocket): void {
    const at = Date.now();
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('message', data => {
      const { request_id, ...frame } = JSON.parse((data as Buffer).toString()) as Record<string, unknown>;
      socket.send(JSON.stringify({ ...this.#answer(frame), request_id }));
    });
    const history = Array.from({ length: HISTORY_S }, (_, i) => this.#stats(at - (HISTORY_S - i) * 1000));
    socket.send(JSON.stringify({ type: 'welcome', protocol: 'gpuhub.v1', hub_id: 'flood', server_time: at }));
    socket.send(
      JSON.stringify({
        type: 'snapshot',
        stats: this.#stats(at),
        history,
        hubs: [{ hub_id: 'flood', clients: 1, machines: this.#workers.length / GPUS_A_MACHINE, monitors: 1 }],
        machines: [],
        workers: this.#workers,
        jobs: [...this.#waiting, ...this.#running.map(one => one.job)],
        paused: [],
      }),
    );
  }

  #answer(frame: Record<string, unknown>): object {
    if (frame['type'] === 'ping') return { type: 'pong', server_time: Date.now() };
    if (frame['type'] === 'list_jobs') {
      const jobs = [...this.#running.map(one => one.job), ...this.#waiting].slice(-500).reverse();
      return { type: 'jobs', jobs, next_cursor: null };
    }
    const known = this.#running.find(one => one.job.job_id === frame['job_id'])?.job;
    if (frame['type'] === 'get_job' && known !== undefined) return { type: 'job', job: known };
    return { type: 'error', code: 'not_found', message: 'the flood knows only what runs' };
  }

  #tell(frame: object): void {
    const text = JSON.stringify(frame);
    for (const socket of this.#sockets) socket.send(text);
  }

  #event(among = this.#running.length): void {
    const running = this.#running[this.#turn++ % among] as Running;
    this.sent++;
    running.told++;
    if (running.told < EVENTS_A_JOB) return this.#progress(running);
    if (running.told === EVENTS_A_JOB) return this.#end(running);
    if (running.told === EVENTS_A_JOB + 1) return this.#submit();
    if (running.told === EVENTS_A_JOB + 2) return this.#assign(running);
    running.told = 0;
    this.#tell({ type: 'worker_updated', worker_id: running.worker.worker_id, worker: running.worker });
  }

  #progress({ job, worker, told }: Running): void {
    job.status = 'processing';
    job.progress = told / EVENTS_A_JOB;
    job.progress_message = `step ${told} of ${EVENTS_A_JOB}`;
    worker.telemetry.gpu_util = 80 + (this.#turn % 20);
    this.#tell({
      ...this.#about('job_progress', job),
      seq: job.seq,
      progress: job.progress,
      message: job.progress_message,
    });
  }

  #end({ job, worker }: Running): void {
    const fields = { worker_id: worker.worker_id, queued_ms: 400, run_ms: 6200 };
    this.#tell({
      ...this.#about('job_completed', job),
      ...fields,
      result: { ok: true, image: 'x'.repeat(200) },
    });
  }

  #submit(): void {
    const job = this.#job();
    this.#waiting.push(job);
    this.#tell({ ...this.#about('job_queued', job), position: this.#waiting.length, reason: 'submitted' });
  }

  #assign(running: Running): void {
    running.job = this.#start(this.#waiting.shift() ?? this.#job(), running.worker);
    this.#tell({ ...this.#about('job_assigned', running.job), worker_id: running.worker.worker_id });
  }

  #about(type: string, job: JobRecord) {
    job.seq = this.#seq++;
    return { type, job_id: job.job_id, seq: job.seq, at: Date.now(), attempt: job.attempt };
  }

  #start(job: JobRecord, worker: WorkerRecord): JobRecord {
    worker.job_id = job.job_id;
    const at = Date.now();
    return Object.assign(job, {
      status: 'assigned',
      worker_id: worker.worker_id,
      attempt: 1,
      assigned_at: at,
    });
  }

  #job(): JobRecord {
    const n = this.#jobs++;
    const at = Date.now();
    return {
      job_id: `flood-${n}`,
      job_type: pick(TYPES, n),
      status: 'queued',
      priority: (n % 3) * 10 - 10,
      requirements: n % 7 === 0 ? { min_vram_mb: 40_000 } : null,
      client_id: 'flood',
      worker_id: null,
      attempt: 0,
      max_attempts: 3,
      progress: 0,
      progress_message: null,
      error: null,
      metadata: null,
      retry_of: null,
      cancel_requested_at: null,
      created_at: at,
      run_at: null,
      queued_at: at,
      assigned_at: null,
      started_at: null,
      finished_at: null,
      updated_at: at,
      seq: this.#seq++,
    };
  }

  #worker(n: number): WorkerRecord {
    const machine = Math.floor(n / GPUS_A_MACHINE);
    const [gpu_name, vram_mb] = pick(KINDS, Math.floor(machine / 8));
    const machine_id = `m-${String(machine + 1).padStart(3, '0')}`;
    const at = Date.now();
    const status =
      machine % 40 === 39 ? 'draining' : n % 251 === 250 ? 'quarantined' : n % 4 === 3 ? 'idle' : 'busy';
    return {
      worker_id: `${machine_id}:gpu${n % GPUS_A_MACHINE}`,
      machine_id,
      index: n % GPUS_A_MACHINE,
      status,
      gpu_name,
      vram_mb,
      job_types: ['*'],
      models: ['sdxl', 'flux'],
      labels: { region: 'eu' },
      job_id: null,
      hub_id: 'flood',
      version: 'flood',
      connected_at: at,
      last_seen_at: at,
      status_reason: status === 'quarantined' ? '5 failures in a row' : null,
      resume_at: null,
      telemetry: {
        gpu_util: status === 'busy' ? 90 : 0,
        vram_used_mb: vram_mb * (status === 'busy' ? 0.7 : 0.05),
        temperature_c: status === 'busy' ? 60 + (n % 20) : 38,
        power_w: 300,
        loaded_models: ['sdxl'],
      },
    };
  }

  #stats(at: number): Stats {
    const wave = Math.sin(at / 60_000);
    const workers = { idle: 0, busy: 0, stopping: 0, draining: 0, quarantined: 0, offline: 0 };
    for (const { status } of this.#workers) workers[status]++;
    const half = { queued: this.#waiting.length / 2, active: this.#running.length / 2 };
    const type = { ...half, completed: 9000, failed: 12, avg_run_ms: 6200 };
    return {
      at,
      jobs: {
        scheduled: 0,
        queued: this.#waiting.length,
        assigned: 0,
        processing: this.#running.length,
        completed: this.#completed ?? 18_000 + this.#jobs,
        failed: 24,
        cancelled: 3,
        expired: 0,
      },
      workers,
      clients: 1,
      hubs: 1,
      rates: { submitted_per_s: 59, completed_per_s: 59 + 9 * wave, failed_per_s: 0.4 },
      latency_ms: { queue_p50: 400, queue_p99: 2100 + 900 * wave, run_p50: 6200, run_p99: 14_000 },
      oldest_queued_ms: 33_000,
      by_type: { 'image.generate': type, 'video.render': type },
      paused: [],
      events_left_out: 0,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    for (const socket of this.#sockets) socket.terminate();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
