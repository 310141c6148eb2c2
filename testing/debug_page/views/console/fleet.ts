// Mock machines of this tab, seen from the page: they live in a thread of their own.

// oxlint-disable-next-line import/default -- the build makes it
import MockThread from '../../net/mock_thread.ts?worker&inline';
import { readFrame, subprotocols } from '../../net/connection.ts';
import { frameLog } from '../../net/frame_log.ts';
import { socketUrl } from '../../net/hub_address.ts';
import { link } from '../../net/hub_link.ts';
import type { MockSettings } from '../../net/mock_machine.ts';
import type { MachineState, Order, Report } from '../../net/mock_thread.ts';
import { touch } from '../../state/live.ts';

/** A tab has a name of its own, so that two tabs do not take each other's machines away. */
const tabName = Math.random().toString(36).slice(2, 6);

class Fleet {
  machines: MachineState[] = [];
  /** The sliders; speed and failures take effect at once, the number of GPUs for machines started later. */
  readonly settings: MockSettings = {
    gpuCount: 4,
    speed: 1,
    failRate: 0,
    durationMs: 6000,
    jobTypes: ['*'],
  };
  #next = 1;
  #thread: Worker | undefined;

  change(part: Partial<MockSettings>): void {
    Object.assign(this.settings, part);
    const { speed, failRate, durationMs } = this.settings;
    if (this.machines.length > 0) this.#order({ do: 'change', settings: { speed, failRate, durationMs } });
    touch('mock');
  }

  /** Starts machines as the sliders stand, but for `other`; their names. */
  start(count: number, other: Partial<MockSettings> = {}): string[] {
    return Array.from({ length: count }, () => {
      const machineId = `mock-${tabName}-${this.#next++}`;
      const settings = { ...this.settings, ...other };
      const url = socketUrl(link.hub, 'worker');
      this.#order({ do: 'start', machineId, url, protocols: subprotocols(link.token), settings });
      return machineId;
    });
  }

  /** Pulls the plug: no goodbye, as a spot instance that is taken away. */
  stop(machineId: string): void {
    this.#order({ do: 'stop', machineId });
  }

  #order(order: Order): void {
    if (this.#thread === undefined) {
      this.#thread = new MockThread();
      this.#thread.onmessage = event => this.#take(event.data as Report);
    }
    this.#thread.postMessage(order);
  }

  #take({ machines, frames }: Report): void {
    this.machines = machines;
    for (const { machineId, raw, ...rest } of frames) {
      frameLog.add({ connection: machineId, own: false, raw, frame: readFrame(raw), ...rest });
    }
    touch('mock');
  }
}

export const fleet = new Fleet();
