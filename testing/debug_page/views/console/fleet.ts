// Mock machines in this tab: each a worker connection that comes back by itself, and a machine that works.

import { backoffMs } from '../../net/backoff.ts';
import type { Connection } from '../../net/connection.ts';
import { MockMachine, type MockSettings } from '../../net/mock_machine.ts';
import { touch } from '../../state/live.ts';
import { peers } from './peers.ts';

/** 4409: another connection registered as this machine; it does not come back by itself. */
const REPLACED = 4409;

export interface FleetMachine {
  machine: MockMachine;
  connection: Connection | undefined;
  /** How it stands, for a person. */
  word: string;
}

class Fleet {
  readonly machines: FleetMachine[] = [];
  /** The sliders; speed and failures take effect at once, the number of GPUs for machines started later. */
  readonly settings: MockSettings = { gpuCount: 4, speed: 1, failRate: 0, durationMs: 6000 };
  #next = 1;
  readonly #stopped = new WeakSet<MockMachine>();

  change(part: Partial<MockSettings>): void {
    Object.assign(this.settings, part);
    for (const { machine } of this.machines) {
      Object.assign(machine.settings, this.settings, { gpuCount: machine.settings.gpuCount });
    }
    touch('mock');
  }

  start(count: number): void {
    for (let i = 0; i < count; i++) this.#startOne();
    touch('mock');
  }

  #startOne(): void {
    const entry: FleetMachine = { machine: undefined as never, connection: undefined, word: 'connecting' };
    // A tab has a name of its own, so that two tabs do not take each other's machines away.
    const machineId = `mock-${tabName}-${this.#next++}`;
    entry.machine = new MockMachine(machineId, { ...this.settings }, frame => {
      if (entry.connection?.state === 'open') entry.connection.send(frame);
    });
    entry.machine.onChange = () => touch('mock');
    this.machines.push(entry);
    this.#connect(entry, 0);
  }

  #connect(entry: FleetMachine, tries: number): void {
    if (this.#stopped.has(entry.machine)) return;
    const connection = peers.add('worker');
    entry.connection = connection;
    entry.word = 'connecting';
    connection.onOpen = () => entry.machine.connected();
    connection.onFrame = frame => {
      entry.machine.take(frame);
      if (frame.type === 'worker_registered') entry.word = 'at work';
    };
    connection.onClose = () => this.#lost(entry, entry.machine.registered ? 0 : tries + 1);
    touch('mock');
  }

  #lost(entry: FleetMachine, tries: number): void {
    const { connection, machine } = entry;
    machine.disconnected();
    if (connection !== undefined) peers.close(connection);
    if (connection?.closed?.code === REPLACED) entry.word = 'replaced by another connection';
    else if (!this.#stopped.has(machine)) {
      entry.word = 'away, coming back';
      setTimeout(() => this.#connect(entry, tries), backoffMs(tries));
    }
    touch('mock');
  }

  /** Pulls the plug: no goodbye, as a spot instance that is taken away. */
  stop(entry: FleetMachine): void {
    this.#stopped.add(entry.machine);
    entry.machine.stop();
    entry.connection?.close();
    this.machines.splice(this.machines.indexOf(entry), 1);
    touch('mock');
  }
}

const tabName = Math.random().toString(36).slice(2, 6);

export const fleet = new Fleet();
