import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { crc32, deflateSync } from 'node:zlib';
import {
  type AssignedJob,
  type GpuTelemetry,
  GpuhubWorker,
  type JobContext,
  type WorkerEvent,
} from '../core/sdk/worker.ts';

export interface MockWorkerOptions {
  machine_id: string;
  gpu_count?: number;
  ws_host?: string;
  ws_port?: number;
  /** In place of `ws_host` and `ws_port`; several hubs separated by commas. */
  url?: string;
  token?: string;
  vram_mb?: number;
  gpu_name?: string;
  job_types?: string[];
  models?: string[];
  labels?: Record<string, string>;
  /** Median time of a job, ms; single ones are log-normal around it, as real ones are. */
  duration_ms?: number;
  /** 10 runs everything ten times as fast. */
  speed?: number;
  /** Shares of jobs, 0 to 1, that fail, kill the process midway, or are rejected. */
  fail_rate?: number;
  crash_rate?: number;
  reject_rate?: number;
  progress_steps?: number;
  result?: 'image' | 'text';
  /** Makes durations and faults repeatable. */
  seed?: number;
  on_event?: (event: WorkerEvent) => void;
  /** What a crash does; by default the process ends as if it had been killed. */
  crash?: () => void;
}

const DEFAULTS = {
  gpu_count: 1,
  ws_host: '127.0.0.1',
  ws_port: 8000,
  vram_mb: 24_576,
  gpu_name: 'NVIDIA RTX 4090',
  job_types: ['*'],
  models: [] as string[],
  labels: {} as Record<string, string>,
  duration_ms: 400,
  speed: 1,
  fail_rate: 0,
  crash_rate: 0,
  reject_rate: 0,
  progress_steps: 5,
  result: 'image' as 'image' | 'text',
};

/** The exit code of a process that was killed with SIGKILL. */
const KILLED = 137;
/** Sigma of ln(duration): half of all jobs take between 0.7 and 1.4 of the median. */
const DURATION_SIGMA = 0.5;
const DURATION_CAP = 8;
const IMAGE_SIZE = 64;

/**
 * A GPU machine that only pretends: it takes jobs, waits a realistic time, tells progress, and returns an image
 * or a text made from the prompt. Of `params` it reads `prompt`, `seed`, `duration_ms` (this job's time) and
 * `fail` (true, or the error's message).
 *
 *     await new MockWorker({ machine_id: 'test-machine', gpu_count: 2, ws_host: 'localhost', ws_port: 8000 }).start();
 */
export class MockWorker {
  readonly worker: GpuhubWorker;
  readonly #options: MockWorkerOptions & typeof DEFAULTS;
  readonly #gpus: SimulatedGpu[];
  readonly #random: () => number;

  constructor(options: MockWorkerOptions) {
    this.#options = { ...DEFAULTS, ...options };
    const { gpu_count, gpu_name, vram_mb, ws_host, ws_port, on_event } = this.#options;
    this.#random = randomFrom(options.seed ?? Math.floor(Math.random() * 2 ** 32));
    this.#gpus = Array.from({ length: gpu_count }, (_, index) => new SimulatedGpu(index, vram_mb));
    this.worker = new GpuhubWorker({
      url: this.#options.url?.split(',') ?? `ws://${ws_host}:${ws_port}`,
      machine_id: options.machine_id,
      gpus: this.#gpus.map(({ index }) => ({ index, name: gpu_name, vram_mb })),
      job_types: this.#options.job_types,
      models: this.#options.models,
      labels: this.#options.labels,
      version: 'mock',
      ...(options.token !== undefined && { token: options.token }),
      ...(on_event !== undefined && { on_event }),
      telemetry: () => this.#gpus.map(gpu => gpu.telemetry()),
      handler: (job, context) => this.#work(job, context),
    });
  }

  /** Resolves at the first registration; see {@link GpuhubWorker.start}. */
  start(): Promise<void> {
    return this.worker.start();
  }

  /** Hands running jobs back and ends. */
  stop(): Promise<void> {
    return this.worker.stop();
  }

  async #work(job: AssignedJob, context: JobContext): Promise<unknown> {
    const { reject_rate, progress_steps, speed } = this.#options;
    if (this.#random() < reject_rate) {
      context.reject('this mock worker rejects some jobs');
      return undefined;
    }
    const gpu = this.#gpus.find(({ index }) => index === context.gpu) as SimulatedGpu;
    const plan = this.#plan(job);
    const model = job.params['model'];
    gpu.load(typeof model === 'string' ? model : undefined);
    try {
      for (let step = 1; step <= progress_steps; step++) {
        await sleep(plan.duration_ms / progress_steps / speed, context.signal);
        if (step > plan.fault_step) plan.fault();
        context.progress(step / progress_steps, `step ${step} of ${progress_steps}`);
      }
      if (progress_steps === 0) await sleep(plan.duration_ms / speed, context.signal);
      return this.#result(job, context, plan.duration_ms / speed);
    } finally {
      gpu.unload();
    }
  }

  /** What will become of a job: decided at the start, so that a seed gives the same run. */
  #plan({ params }: AssignedJob): { duration_ms: number; fault_step: number; fault: () => void } {
    const { duration_ms, fail_rate, crash_rate, progress_steps, crash } = this.#options;
    const asked_ms = params['duration_ms'];
    const factor = Math.min(DURATION_CAP, Math.exp(DURATION_SIGMA * normal(this.#random)));
    const [luck, when] = [this.#random(), this.#random()];
    const must_fail = params['fail'] !== undefined && params['fail'] !== false;
    const crashes = luck < crash_rate;
    const fails = must_fail || (!crashes && luck < crash_rate + fail_rate);
    const fail = () => {
      const message = typeof params['fail'] === 'string' ? params['fail'] : 'CUDA out of memory (simulated)';
      throw Object.assign(new Error(message), { code: 'mock_failure' });
    };
    return {
      duration_ms: typeof asked_ms === 'number' && asked_ms >= 0 ? asked_ms : duration_ms * factor,
      fault_step: crashes || fails ? Math.floor(when * progress_steps) : Infinity,
      fault: crashes ? (crash ?? (() => process.exit(KILLED))) : fail,
    };
  }

  #result({ params }: AssignedJob, context: JobContext, took_ms: number): unknown {
    const prompt = typeof params['prompt'] === 'string' ? params['prompt'] : JSON.stringify(params);
    const seed = typeof params['seed'] === 'number' ? params['seed'] : hash(prompt);
    const common = { prompt, seed, gpu: context.gpu, took_ms: Math.round(took_ms) };
    if (this.#options.result === 'image') {
      const png = drawPng(hash(`${prompt}/${seed}`), IMAGE_SIZE);
      return {
        ...common,
        content_type: 'image/png',
        width: IMAGE_SIZE,
        height: IMAGE_SIZE,
        image: png.toString('base64'),
      };
    }
    const words = writeText(prompt, seed);
    for (const word of words) context.output(word);
    return { ...common, content_type: 'text/plain', text: words.join('') };
  }
}

/** Use, memory and temperature of a GPU that does not exist; they follow the load as real ones do. */
class SimulatedGpu {
  readonly index: number;
  readonly #vram_mb: number;
  #busy = false;
  #model: string | undefined;
  #temperature_c = 36;
  #at = performance.now();

  constructor(index: number, vram_mb: number) {
    this.index = index;
    this.#vram_mb = vram_mb;
  }

  load(model: string | undefined): void {
    this.#warm();
    this.#busy = true;
    this.#model = model ?? this.#model;
  }

  unload(): void {
    this.#warm();
    this.#busy = false;
  }

  telemetry(): GpuTelemetry {
    this.#warm();
    const noise = Math.random();
    const used =
      (this.#model !== undefined || this.#busy ? 0.45 : 0.02) + (this.#busy ? 0.25 : 0) + noise * 0.02;
    return {
      index: this.index,
      gpu_util: Math.round(this.#busy ? 88 + 11 * noise : 2 * noise),
      vram_used_mb: Math.round(this.#vram_mb * used),
      vram_total_mb: this.#vram_mb,
      temperature_c: Math.round(this.#temperature_c),
      power_w: Math.round(this.#busy ? 320 + 90 * noise : 24 + 4 * noise),
      loaded_models: this.#model === undefined ? [] : [this.#model],
    };
  }

  /** Towards 76 °C under load and 36 °C at rest, by two thirds in 20 s. */
  #warm(): void {
    const now = performance.now();
    const share = 1 - Math.exp(-(now - this.#at) / 20_000);
    this.#at = now;
    this.#temperature_c += ((this.#busy ? 76 : 36) - this.#temperature_c) * share;
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** mulberry32: small, and the same numbers for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

/** A small PNG: three waves whose directions, lengths and colours come from the seed. Takes about 1 ms. */
function drawPng(seed: number, size: number): Buffer {
  const random = randomFrom(seed);
  const row = 1 + size * 3;
  const light = new Float64Array(row * size);
  for (let wave = 0; wave < 3; wave++) {
    const [dx, dy, phase] = [(random() - 0.5) * 0.3, (random() - 0.5) * 0.3, random() * 6.28];
    const [red, green, blue] = [random(), random(), random()];
    for (let y = 0; y < size; y++) {
      // The first byte of a row is its filter: 0, none.
      let at = y * row + 1;
      for (let x = 0; x < size; x++) {
        const height = 85 * (1 + Math.sin(x * dx + y * dy + phase));
        light[at++]! += red * height;
        light[at++]! += green * height;
        light[at++]! += blue * height;
      }
    }
  }
  const pixels = Buffer.from(Uint8ClampedArray.from(light));
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  // 8 bits a channel, RGB
  header.set([8, 2], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const chunks = [
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(pixels, { level: 1 })),
    pngChunk('IEND', Buffer.alloc(0)),
  ];
  return Buffer.concat([signature, ...chunks]);
}

function pngChunk(type: string, data: Buffer): Buffer {
  const chunk = Buffer.alloc(12 + data.length);
  chunk.writeUInt32BE(data.length, 0);
  chunk.write(type, 4, 'latin1');
  data.copy(chunk, 8);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 8 + data.length)), 8 + data.length);
  return chunk;
}

const WORDS = 'light slowly river under glass the a morning turns quiet stone and over wind we keep'.split(
  ' ',
);

function writeText(prompt: string, seed: number): string[] {
  const random = randomFrom(seed);
  const words = Array.from({ length: 12 + Math.floor(random() * 20) }, () => {
    return ` ${WORDS[Math.floor(random() * WORDS.length)]}`;
  });
  return [`${prompt}:`, ...words, '.'];
}

const HELP = `A machine that pretends to have GPUs: takes jobs from a hub and returns made-up results.

usage: tsx testing/mock_worker.ts [options]

  --machine-id ID         name of the machine (default mock-<random>)
  --gpu-count N           GPUs, one job each (1)
  --ws-host H --ws-port P where the hub is (127.0.0.1, 8000)
  --url URL[,URL]         the same as a URL, or several hubs
  --token TOKEN           credential (default: environment variable GPUHUB_TOKEN)
  --vram-mb N             memory of each GPU (24576)
  --gpu-name NAME         ("NVIDIA RTX 4090")
  --job-types A,B         ('*': all)
  --models A,B            models on its disk
  --labels K=V,..         for requirements.labels
  --duration-ms N         median time of a job (400)
  --speed X               10 runs ten times as fast (1)
  --fail-rate X           share of jobs that fail, 0 to 1 (0)
  --crash-rate X          share of jobs that kill this process midway, exit code 137 (0)
  --reject-rate X         share of jobs it rejects (0)
  --progress-steps N      progress messages a job (5)
  --result image|text     a small PNG, or a text streamed word by word (image)
  --seed N                the same durations and faults each time
  --quiet                 say only what goes wrong
  --help

examples:
  tsx testing/mock_worker.ts --machine-id m1 --gpu-count 2
  tsx testing/mock_worker.ts --gpu-name "NVIDIA A100" --vram-mb 81920 --models sdxl,flux --labels region=eu
  tsx testing/mock_worker.ts --fail-rate 0.02 --speed 10 --result text --seed 7`;

const FLAGS = {
  'machine-id': { type: 'string' },
  'gpu-count': { type: 'string' },
  'ws-host': { type: 'string' },
  'ws-port': { type: 'string' },
  url: { type: 'string' },
  token: { type: 'string' },
  'vram-mb': { type: 'string' },
  'gpu-name': { type: 'string' },
  'job-types': { type: 'string' },
  models: { type: 'string' },
  labels: { type: 'string' },
  'duration-ms': { type: 'string' },
  speed: { type: 'string' },
  'fail-rate': { type: 'string' },
  'crash-rate': { type: 'string' },
  'reject-rate': { type: 'string' },
  'progress-steps': { type: 'string' },
  result: { type: 'string' },
  seed: { type: 'string' },
  quiet: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;
type Flags = ReturnType<typeof parseArgs<{ options: typeof FLAGS }>>['values'];

/** The options the flags stand for; an absent flag leaves the default. */
function toOptions(flags: Flags): MockWorkerOptions {
  const number = (name: keyof Flags, least: number, most = Infinity) => {
    const text = flags[name];
    if (text === undefined) return undefined;
    const value = text === '' ? Number.NaN : Number(text);
    if (value >= least && value <= most) return value;
    throw new Error(`--${name} must be a number from ${least}${most === Infinity ? '' : ` to ${most}`}`);
  };
  const list = (text: string | undefined) => text?.split(',').filter(item => item !== '');
  const pairs = list(flags.labels)?.map(pair => {
    const [key, ...value] = pair.split('=');
    if (!key || value.length === 0) throw new Error('--labels must look like key=value,key=value');
    return [key, value.join('=')] as const;
  });
  if (flags.result !== undefined && flags.result !== 'image' && flags.result !== 'text') {
    throw new Error('--result must be image or text');
  }
  const given = {
    gpu_count: number('gpu-count', 1, 64),
    ws_host: flags['ws-host'],
    ws_port: number('ws-port', 1, 65_535),
    url: flags.url,
    token: flags.token ?? process.env['GPUHUB_TOKEN'],
    vram_mb: number('vram-mb', 0),
    gpu_name: flags['gpu-name'],
    job_types: list(flags['job-types']),
    models: list(flags.models),
    labels: pairs && Object.fromEntries(pairs),
    duration_ms: number('duration-ms', 0),
    speed: number('speed', 0.001),
    fail_rate: number('fail-rate', 0, 1),
    crash_rate: number('crash-rate', 0, 1),
    reject_rate: number('reject-rate', 0, 1),
    progress_steps: number('progress-steps', 0, 10_000),
    result: flags.result,
    seed: number('seed', 0),
  };
  const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const machine_id = flags['machine-id'] ?? `mock-${Math.random().toString(36).slice(2, 8)}`;
  return { machine_id, ...present };
}

/** One line for a person, or nothing for events that need none. */
function describe(event: WorkerEvent, quiet: boolean): string | undefined {
  switch (event.type) {
    case 'down':
      return `${event.error.message}; trying again in ${(event.retry_in_ms / 1000).toFixed(1)} s`;
    case 'error':
      return `the hub says ${event.error.code}: ${event.error.message}`;
    case 'ended':
      return event.error && `ended: ${event.error.message}`;
    case 'job_dropped':
      return `${event.job.worker_id} dropped ${event.job.job_id}: ${event.reason}`;
    default:
      return quiet ? undefined : describeNews(event);
  }
}

function describeNews(event: WorkerEvent): string | undefined {
  switch (event.type) {
    case 'registered':
      return `registered ${event.worker_ids.join(', ')} at ${event.welcome.hub_id}`;
    case 'job_started':
      return `${event.job.worker_id} started ${event.job.job_id} (${event.job.job_type}, attempt ${event.job.attempt})`;
    case 'job_ended':
      return `${event.job.worker_id} ${event.outcome.replace('job_', '')} ${event.job.job_id}`;
    case 'draining':
    case 'resumed':
      return `${event.type} ${event.worker_ids.join(', ')}${event.reason ? `: ${event.reason}` : ''}`;
    default:
      return undefined;
  }
}

async function main(): Promise<void> {
  let flags: Flags;
  let worker: MockWorker;
  try {
    flags = parseArgs({ options: FLAGS }).values;
    if (flags.help) {
      console.log(HELP);
      return;
    }
    const on_event = (event: WorkerEvent) => {
      const line = describe(event, flags.quiet);
      if (line) console.log(`${new Date().toISOString()} ${line}`);
    };
    worker = new MockWorker({ ...toOptions(flags), on_event });
  } catch (error) {
    console.error(`${(error as Error).message}\nRun with --help to see the options.`);
    process.exitCode = 2;
    return;
  }
  worker.worker.drainOnSignals();
  // The fault is told through `closed`.
  worker.start().catch(() => {});
  if ((await worker.worker.closed) !== undefined) process.exitCode = 1;
}

const program = process.argv[1];
if (program !== undefined && realpathSync(program) === fileURLToPath(import.meta.url)) void main();
