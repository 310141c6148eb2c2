// The mock machines of the page, in a thread of their own: a page that is busy drawing, or a hidden tab whose timers
// are slowed, must not stop their heartbeats. The page says what to start; the thread tells how they stand and which
// frames went over the wire.

import { backoffMs } from './backoff.ts';
import { MockMachine, type MockSettings } from './mock_machine.ts';

/** What the page asks of the thread. */
export type Order =
  | { do: 'start'; machineId: string; url: string; protocols: string[]; settings: MockSettings }
  | { do: 'change'; settings: Partial<MockSettings> }
  | { do: 'stop'; machineId: string };

export interface MachineState {
  machineId: string;
  gpuCount: number;
  busy: number;
  completed: number;
  failed: number;
  unacknowledged: number;
  /** How it stands, for a person. */
  word: string;
}

export interface ThreadFrame {
  machineId: string;
  out: boolean;
  at: number;
  raw: string;
}

/** What the thread tells, at most ten times a second. */
export interface Report {
  machines: MachineState[];
  frames: ThreadFrame[];
}

const REPORT_MS = 100;
/** More frames than the page's log would keep of one report are not handed over. */
const FRAMES_MAX = 1000;
/** 4409: another connection registered as this machine; it does not come back by itself. */
const REPLACED = 4409;

type Start = Extract<Order, { do: 'start' }>;

class ThreadMachine {
  readonly machine: MockMachine;
  word = 'connecting';
  readonly #order: Start;
  readonly #told: () => void;
  #socket: WebSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;
  #tries = 0;
  frames: ThreadFrame[] = [];

  constructor(order: Start, told: () => void) {
    this.#order = order;
    this.#told = told;
    this.machine = new MockMachine(order.machineId, order.settings, frame => this.#send(frame));
    this.machine.onChange = told;
    this.#connect();
  }

  /** Pulls the plug: no goodbye, as a spot instance that is taken away. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.machine.stop();
    this.#socket?.close();
  }

  #connect(): void {
    this.word = 'connecting';
    const socket = new WebSocket(this.#order.url, this.#order.protocols);
    this.#socket = socket;
    socket.onopen = () => this.machine.connected();
    socket.onmessage = event => this.#take(String(event.data));
    socket.onclose = event => this.#lost(event.code);
    this.#told();
  }

  #send(frame: object): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    const raw = JSON.stringify(frame);
    this.#socket.send(raw);
    this.#log(raw, true);
  }

  #take(raw: string): void {
    this.#log(raw, false);
    const frame = JSON.parse(raw) as { type: string } & Record<string, unknown>;
    if (frame.type === 'worker_registered') {
      this.word = 'at work';
      this.#tries = 0;
    }
    this.machine.take(frame);
  }

  #log(raw: string, out: boolean): void {
    if (this.frames.length < FRAMES_MAX) {
      this.frames.push({ machineId: this.machine.machineId, out, at: Date.now(), raw });
    }
    this.#told();
  }

  #lost(code: number): void {
    if (this.#stopped) return;
    this.machine.disconnected();
    if (code === REPLACED) this.word = 'replaced by another connection';
    else {
      this.word = 'away, coming back';
      this.#timer = setTimeout(() => this.#connect(), backoffMs(this.#tries++));
    }
    this.#told();
  }

  get state(): MachineState {
    const { machineId, settings, busy, completed, failed, unacknowledged } = this.machine;
    return {
      machineId,
      gpuCount: settings.gpuCount,
      busy,
      completed,
      failed,
      unacknowledged,
      word: this.word,
    };
  }
}

const machines = new Map<string, ThreadMachine>();
let due: ReturnType<typeof setTimeout> | undefined;

function changed(): void {
  due ??= setTimeout(report, REPORT_MS);
}

function report(): void {
  due = undefined;
  const all = [...machines.values()];
  const frames = all.flatMap(one => one.frames.splice(0)).sort((a, b) => a.at - b.at);
  postMessage({ machines: all.map(one => one.state), frames } satisfies Report);
}

function obey(order: Order): void {
  if (order.do === 'start') machines.set(order.machineId, new ThreadMachine(order, changed));
  else if (order.do === 'stop') {
    machines.get(order.machineId)?.stop();
    machines.delete(order.machineId);
  } else {
    for (const { machine } of machines.values()) Object.assign(machine.settings, order.settings);
  }
  changed();
}

addEventListener('message', event => obey((event as MessageEvent<Order>).data));
