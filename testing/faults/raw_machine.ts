/** The smallest correct worker of section 5 of the protocol, on nothing but `ws`: an independent check of the SDK. */
import WebSocket from 'ws';
import { execute } from './execution.ts';
import type { Ledger } from './ledger.ts';
import type { JobParams } from './workload.ts';

interface Held {
  job_id: string;
  lease_id: string;
  stop: AbortController;
  /** What it said at the end, until that is acknowledged. */
  terminal?: { type: string; [field: string]: unknown };
}

interface Frame {
  type: string;
  job_id: string;
  lease_id: string;
  // `any`: the frames of a hub that is under test; each case reads the fields of its type.
  [field: string]: any;
}

const RETRY_MS = { least: 50, most: 300 };
const REPLACED = 4409;
/** A hub that was silent for so many ping intervals is taken for dead. */
const SILENT_INTERVALS = 2.5;

export class RawMachine {
  readonly #machine_id: string;
  readonly #gpus: number;
  readonly #urls: string[];
  readonly #ledger: Ledger;
  readonly #twice: boolean;
  readonly #held = new Map<string, Held>();
  /** Leases seen: a frame that repeats one is ignored. */
  readonly #seen = new Set<string>();
  #socket: WebSocket | undefined;
  #tries = 0;
  #registered = false;
  #ping_ms = 15_000;
  #timers: NodeJS.Timeout[] = [];
  #watchdog: NodeJS.Timeout | undefined;

  constructor(machine: { machine_id: string; gpus: number; urls: string[] }, ledger: Ledger, twice = false) {
    this.#machine_id = machine.machine_id;
    this.#gpus = machine.gpus;
    this.#urls = machine.urls;
    this.#ledger = ledger;
    this.#twice = twice;
    this.#connect();
  }

  #connect(): void {
    const url = this.#urls[this.#tries++ % this.#urls.length] as string;
    const socket = new WebSocket(`${url}/ws/worker`, 'gpuhub.v1', {
      handshakeTimeout: 5000,
      perMessageDeflate: false,
    });
    this.#socket = socket;
    const alive = () => {
      clearTimeout(this.#watchdog);
      this.#watchdog = setTimeout(() => socket.terminate(), this.#ping_ms * SILENT_INTERVALS);
    };
    socket.on('message', data => {
      alive();
      this.#read(JSON.parse(String(data)) as Frame);
    });
    socket.on('ping', alive);
    socket.on('error', () => undefined);
    socket.on('close', code => {
      clearTimeout(this.#watchdog);
      this.#lost(code);
    });
  }

  #lost(code: number): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    this.#registered = false;
    this.#ledger.write(this.#machine_id, 'down', { why: `close ${code}` });
    if (code === REPLACED) {
      this.#ledger.write(this.#machine_id, 'ended', { why: 'replaced' });
      return;
    }
    setTimeout(() => this.#connect(), RETRY_MS.least + Math.random() * (RETRY_MS.most - RETRY_MS.least));
  }

  #send(message: object): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    const text = JSON.stringify(message);
    this.#socket.send(text);
    if (this.#twice) this.#socket.send(text);
  }

  #running(): { job_id: string; lease_id: string }[] {
    return [...this.#held.values()].map(({ job_id, lease_id }) => ({ job_id, lease_id }));
  }

  #register(): void {
    this.#registered = false;
    this.#send({
      type: 'register_worker',
      machine_id: this.#machine_id,
      gpu_count: this.#gpus,
      job_types: ['work'],
      running: this.#running(),
    });
  }

  #read(frame: Frame): void {
    switch (frame.type) {
      case 'welcome':
        this.#ping_ms = frame['ping_interval_ms'];
        return this.#register();
      case 'worker_registered':
        return this.#onRegistered(frame);
      case 'job_assigned':
        return this.#assigned(frame);
      case 'job_ack':
        return this.#acked(frame);
      case 'heartbeat_ack':
        for (const { lease_id } of frame['abandon']) this.#drop(lease_id, 'abandon');
        return;
      case 'cancel_job':
        return this.#cancel(frame);
      case 'error':
        if (frame['code'] === 'not_registered') this.#register();
        else if (frame['code'] === 'unavailable' && !this.#registered)
          setTimeout(() => this.#register(), RETRY_MS.most);
        else if (frame['code'] !== 'unavailable')
          this.#ledger.write(this.#machine_id, 'error', { code: frame['code'], message: frame['message'] });
        return;
      default:
    }
  }

  #onRegistered(frame: Frame): void {
    if (this.#registered) return;
    this.#registered = true;
    for (const { lease_id, action } of frame['jobs'] as Frame[]) {
      if (action === 'abandon') this.#drop(lease_id, 'abandon');
      if (action === 'cancel') this.#held.get(lease_id)?.stop.abort();
    }
    this.#ledger.write(this.#machine_id, 'up', {});
    const beat = () => this.#send({ type: 'worker_heartbeat', workers: [], running: this.#running() });
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    this.#timers.push(setInterval(beat, frame['heartbeat_interval_ms']));
    this.#timers.push(setInterval(() => this.#sayAgain(), frame['resend_ms']));
    this.#sayAgain();
  }

  /** Every terminal message that nobody has acknowledged. */
  #sayAgain(): void {
    for (const { terminal } of this.#held.values()) if (terminal) this.#send(terminal);
  }

  #assigned(frame: Frame): void {
    const { job_id, lease_id, attempt } = frame;
    if (this.#seen.has(lease_id)) return;
    this.#seen.add(lease_id);
    const held: Held = { job_id, lease_id, stop: new AbortController() };
    this.#held.set(lease_id, held);
    this.#send({ type: 'job_started', job_id, lease_id });
    const names = { job_id, lease_id };
    const execution = {
      machine_id: this.#machine_id,
      gpu: frame['gpus'][0] as number,
      job_id,
      lease_id,
      attempt: attempt as number,
      params: frame['params'] as JobParams,
    };
    const tell = () => this.#send({ type: 'job_progress', ...names, progress: 0.5 });
    execute(execution, held.stop.signal, this.#ledger, tell).then(
      result => this.#end(held, { type: 'job_completed', ...names, result }),
      (error: Error) =>
        this.#end(
          held,
          error.name === 'AbortError'
            ? { type: 'job_cancelled', ...names }
            : { type: 'job_failed', ...names, error: { code: 'planned', message: error.message } },
        ),
    );
  }

  #end(held: Held, terminal: NonNullable<Held['terminal']>): void {
    if (!this.#held.has(held.lease_id)) return;
    held.terminal = terminal;
    const { job_id, lease_id } = held;
    this.#ledger.write(this.#machine_id, 'told', { job_id, lease_id, type: terminal.type });
    this.#send(terminal);
  }

  #acked({ job_id, lease_id, accepted, code }: Frame): void {
    const held = this.#held.get(lease_id);
    if (!held) return;
    if (!held.terminal) return this.#drop(lease_id, String(code));
    this.#held.delete(lease_id);
    this.#ledger.write(this.#machine_id, 'answer', { job_id, lease_id, accepted, code: code ?? null });
  }

  #cancel({ job_id, lease_id }: Frame): void {
    const held = this.#held.get(lease_id);
    if (held) held.stop.abort();
    else this.#send({ type: 'job_cancelled', job_id, lease_id });
  }

  /** The job is somebody else's, or nobody's. */
  #drop(lease_id: string, why: string): void {
    const held = this.#held.get(lease_id);
    if (!held) return;
    this.#held.delete(lease_id);
    this.#ledger.write(this.#machine_id, 'dropped', { job_id: held.job_id, lease_id, why });
    held.stop.abort();
    // A slot whose lease was taken away gets nothing until it hears that the worker is done with it.
    this.#send({ type: 'job_cancelled', job_id: held.job_id, lease_id });
  }
}
