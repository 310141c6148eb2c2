// The demo's picture: redrawn in place on a terminal, a line every few seconds in a pipe.

import pc from 'picocolors';
import { bar, count, percent } from '../core/cli/format.ts';
import type { DemoMachine, Witness } from './demo_evidence.ts';

const REDRAW_MS = 200;
const LINE_MS = 3000;
/** The width the picture is made for; on a narrower terminal lines come instead, as in a pipe. */
const COLUMNS = 80;
const BAR_CELLS = 44;
const RATE_WINDOW_MS = 5000;
const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';

const BUSY = '■';
const IDLE = '□';
const GONE = '✕';

export function clock(ms: number): string {
  const s = Math.floor(ms / 1000);
  return `${String(Math.floor(s / 60)).padStart(2, '0')}:${String(s % 60).padStart(2, '0')}`;
}

/** Jobs a second over the last seconds. */
class Rate {
  readonly #marks: { at: number; done: number }[] = [];

  next(done: number): number {
    const at = performance.now();
    this.#marks.push({ at, done });
    while (this.#marks.length > 2 && at - (this.#marks[0]?.at ?? at) > RATE_WINDOW_MS) this.#marks.shift();
    const first = this.#marks[0] as { at: number; done: number };
    return at === first.at ? 0 : ((done - first.done) / (at - first.at)) * 1000;
  }
}

export class Display {
  readonly #witness: Witness;
  readonly #machines: readonly DemoMachine[];
  readonly #total: number;
  readonly #began = performance.now();
  readonly #rate = new Rate();
  readonly #live = process.stdout.isTTY === true && (process.stdout.columns ?? 0) >= COLUMNS;
  readonly #timer: NodeJS.Timeout;
  #drawn = 0;
  #over = false;

  constructor(witness: Witness, machines: readonly DemoMachine[], total: number) {
    this.#witness = witness;
    this.#machines = machines;
    this.#total = total;
    this.#rate.next(0);
    if (this.#live) process.stdout.write(HIDE_CURSOR);
    this.#timer = setInterval(() => this.#tick(), this.#live ? REDRAW_MS : LINE_MS);
    if (this.#live) this.#draw();
  }

  /** Something happened that shall stay on the screen. */
  say(text: string): void {
    const line = `  ${pc.dim(clock(performance.now() - this.#began))}  ${text}\n`;
    if (!this.#live || this.#over) process.stdout.write(line);
    else {
      this.#erase();
      process.stdout.write(line);
      this.#draw();
    }
  }

  /** The last picture stays. */
  stop(): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#timer);
    this.#tick();
    if (this.#live) process.stdout.write(SHOW_CURSOR);
  }

  #tick(): void {
    if (!this.#live) {
      process.stdout.write(`${this.#line()}\n`);
      return;
    }
    this.#erase();
    this.#draw();
  }

  #erase(): void {
    if (this.#drawn > 0) process.stdout.write(`\x1b[${this.#drawn}A\x1b[0J`);
    this.#drawn = 0;
  }

  #draw(): void {
    const lines = this.#picture();
    process.stdout.write(`${lines.join('\n')}\n`);
    this.#drawn = lines.length;
  }

  #slots(): { busy: number; all: number } {
    const up = this.#machines.filter(({ state }) => state === 'up');
    return {
      busy: up.reduce((sum, { machine_id, gpus }) => sum + Math.min(gpus, this.#witness.busy(machine_id)), 0),
      all: up.reduce((sum, { gpus }) => sum + gpus, 0),
    };
  }

  #line(): string {
    const { waiting, completed, failed } = this.#witness.count;
    const { busy, all } = this.#slots();
    const share = completed / this.#total;
    const parts = [
      `${clock(performance.now() - this.#began)} ${percent(share).padStart(5)}`,
      `waiting ${count(waiting)}`,
      `busy ${busy}/${all}`,
      `done ${count(completed)}/${count(this.#total)}`,
      `failed ${failed}`,
      `${this.#rate.next(completed).toFixed(0)} jobs/s`,
    ];
    return `  ${parts.join('  ')}`;
  }

  #picture(): string[] {
    const { waiting, completed, failed } = this.#witness.count;
    const { busy, all } = this.#slots();
    const share = completed / this.#total;
    const time = clock(performance.now() - this.#began);
    const rate = this.#rate.next(completed).toFixed(0);
    const figures = [
      `waiting ${pc.yellow(count(waiting).padStart(5))}`,
      `slots busy ${pc.blue(`${busy}/${all}`.padStart(5))}`,
      `done ${pc.green(count(completed).padStart(5))}`,
      `failed ${failed === 0 ? '0' : pc.red(String(failed))}`,
      `${rate.padStart(3)} jobs/s`,
    ];
    return [
      '',
      `  ${time}  ${pc.green(bar(share, BAR_CELLS))} ${percent(share).padStart(4)} of ${count(this.#total)}`,
      '',
      `  ${figures.join('    ')}`,
      '',
      ...this.#machines.map(machine => this.#machineLine(machine)),
    ];
  }

  #machineLine({ machine_id, gpus, vram_mb, gpu_name, state }: DemoMachine): string {
    const busy = Math.min(gpus, this.#witness.busy(machine_id));
    const killed = state === 'killed';
    const boxes = killed
      ? pc.red(GONE.repeat(gpus))
      : pc.blue(BUSY.repeat(busy)) + pc.dim(IDLE.repeat(gpus - busy));
    const what = `${gpus} × ${gpu_name.replace('NVIDIA ', '')}, ${vram_mb / 1024} GB`;
    const done = `${count(this.#witness.done_by.get(machine_id) ?? 0).padStart(5)} done`;
    const note = killed ? pc.red('  killed') : state === 'starting' ? pc.dim('  starting') : '';
    return `  ${machine_id.padEnd(9)}${what.padEnd(22)}${boxes}${' '.repeat(6 - gpus)}${done}${note}`;
  }
}
