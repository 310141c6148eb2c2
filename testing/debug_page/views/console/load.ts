// The load that this page makes, over a client connection of its own: one at a time.

import { type Connection, type Frame, RefusedError } from '../../net/connection.ts';
import { type LoadKind, LoadRun, type LoadSettings } from '../../net/load_run.ts';
import { touch } from '../../state/live.ts';
import { peers } from './peers.ts';

const TICK_MS = 50;
/** More would be more ids than a tab should hold. */
export const JOBS_MAX = 100_000;

const PAGE_NAME = Math.random().toString(36).slice(2, 8);

export const newKind = (): LoadKind => ({
  job_type: 'image.small',
  share: 3,
  priority: 0,
  vramGb: 0,
  durationMs: 1000,
  paramsKb: 1,
});

class Load {
  settings: LoadSettings = {
    perSecond: 20,
    seconds: 30,
    kinds: [
      newKind(),
      { job_type: 'video.large', share: 1, priority: -10, vramGb: 24, durationMs: 4000, paramsKb: 10 },
    ],
  };
  run: LoadRun | undefined;
  /** Why it ended before its time. */
  said = '';
  #connection: Connection | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #runs = 0;

  change(part: Partial<LoadSettings>): void {
    this.settings = { ...this.settings, ...part };
    touch('mock');
  }

  changeKind(index: number, part: Partial<LoadKind>): void {
    this.change({ kinds: this.settings.kinds.map((kind, i) => (i === index ? { ...kind, ...part } : kind)) });
  }

  get jobs(): number {
    return Math.ceil(this.settings.perSecond * this.settings.seconds);
  }

  start(): void {
    this.said = '';
    this.run = undefined;
    const connection = peers.add('client', 'load');
    this.#connection = connection;
    connection.onOpen = () => this.#begin(connection);
    connection.onClose = () => this.#lost(connection);
    touch('mock');
  }

  get isBusy(): boolean {
    return this.#connection !== undefined;
  }

  stop(): void {
    this.run?.stop();
    this.#look();
  }

  cancelRest(): void {
    this.run?.cancelRest();
    this.#look();
  }

  #begin(connection: Connection): void {
    const name = `load-${PAGE_NAME}-${++this.#runs}`;
    const send = (frame: Frame) => this.#send(connection, frame);
    const run = new LoadRun(name, this.settings, send, performance.now());
    this.run = run;
    connection.onFrame = frame => {
      run.take(frame);
      touch('mock');
      this.#look();
    };
    this.#timer = setInterval(() => {
      run.tick(performance.now());
      touch('mock');
      this.#look();
    }, TICK_MS);
  }

  /** Submissions are answered as a whole; of a cancel the end of the job tells enough. */
  #send(connection: Connection, frame: Frame): void {
    if (connection.state !== 'open') return;
    if (frame.type !== 'submit_jobs') return connection.send(frame);
    connection.request(frame).catch((error: Error) => {
      const code = error instanceof RefusedError ? error.code : 'no answer';
      this.run?.refusedAll(code, (frame['jobs'] as object[]).length);
      touch('mock');
    });
  }

  /** Goes when all has ended. */
  #look(): void {
    if (this.run?.over !== true || this.#connection === undefined) return;
    this.#leave();
  }

  #leave(): void {
    clearInterval(this.#timer);
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection === undefined) return;
    connection.onFrame = () => {};
    // Closed twice: once the socket, then its place in the list.
    connection.onClose = () => peers.close(connection);
    peers.close(connection);
    touch('mock');
  }

  #lost(connection: Connection): void {
    if (this.#connection !== connection) return;
    clearInterval(this.#timer);
    this.#connection = undefined;
    this.run?.stop();
    const { code, wasOpen } = connection.closed ?? { code: 1006, wasOpen: false };
    const unknown = this.run?.open.size ?? 0;
    this.said = wasOpen
      ? `its connection closed (${code}); what became of ${unknown} jobs is not known here`
      : 'the hub refused its connection';
    touch('mock');
  }
}

export const load = new Load();
