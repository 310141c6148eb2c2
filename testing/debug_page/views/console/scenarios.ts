// Small plays for a hub: machines of this tab, jobs of their own type, and a claim that is checked. The machines
// take no other jobs, and go when the play is over.

import type { Connection, Frame } from '../../net/connection.ts';
import type { MockSettings } from '../../net/mock_machine.ts';
import { touch } from '../../state/live.ts';
import { fleet } from './fleet.ts';
import { peers } from './peers.ts';

const ENDS: ReadonlySet<string> = new Set(['job_completed', 'job_failed', 'job_cancelled', 'job_expired']);

interface Job {
  job_id: string;
  priority?: number;
  requirements?: Record<string, unknown>;
}

interface Scenario {
  name: string;
  /** What will be seen. */
  claim: string;
  machines: number;
  settings: Partial<MockSettings>;
  jobs: Omit<Job, 'job_id'>[];
  /** Called once when the first job has started, with the machine that is at it. */
  whenStarted?: (play: Play, machine: string) => void;
  /** Over when so many jobs have ended; all by default. */
  endsWith?: number;
  /** What was not as claimed, or nothing. */
  judge: (play: Play) => string;
}

const times = (count: number, job: Omit<Job, 'job_id'> = {}) => Array.from({ length: count }, () => job);

const allCompleted = ({ ends, jobs }: Play) => {
  const completed = [...ends.values()].filter(type => type === 'job_completed').length;
  return completed === jobs ? '' : `${completed} of ${jobs} completed`;
};

/** Jobs that were assigned while one of the last four waited. Both are numbered by Redis's clock. */
function overtakers({ ids, queued, assigned }: Play): number {
  const urgent = ids.slice(-4);
  const from = Math.max(...urgent.map(id => queued.get(id) ?? 0));
  const to = Math.max(...urgent.map(id => assigned.get(id) ?? 0));
  return ids.slice(0, -4).filter(id => {
    const at = assigned.get(id) ?? 0;
    return at > from && at < to;
  }).length;
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'A fleet of 8 with 5 % failures',
    claim: 'Every one of 200 jobs ends; attempts that fail are tried again.',
    machines: 8,
    settings: { gpuCount: 4, failRate: 0.05, durationMs: 2000 },
    jobs: times(200),
    judge: ({ ends }) => (ends.size === 200 ? '' : `${ends.size} of 200 ended`),
  },
  {
    name: 'A burst of 1,000',
    claim: 'All 1,000 complete, each exactly once.',
    machines: 4,
    settings: { gpuCount: 8, failRate: 0, durationMs: 200 },
    jobs: times(1000),
    judge: play => allCompleted(play) || (play.twice > 0 ? `${play.twice} ended twice` : ''),
  },
  {
    name: 'A machine dies at work',
    claim: 'Its jobs start again on the other when their leases run out; all 16 complete.',
    machines: 2,
    settings: { gpuCount: 4, failRate: 0, durationMs: 2000 },
    jobs: times(16),
    whenStarted: (_, machine) => fleet.stop(machine),
    judge: allCompleted,
  },
  {
    name: 'A job that nobody can run',
    claim: 'It is told under “Needs you” and delays no other: the 20 beside it complete.',
    machines: 1,
    settings: { gpuCount: 4, failRate: 0, durationMs: 500 },
    jobs: [{ priority: 100, requirements: { min_vram_mb: 10_000_000 } }, ...times(20)],
    endsWith: 20,
    judge: ({ ends }) =>
      [...ends.values()].every(type => type === 'job_completed') ? '' : 'not all of the 20 completed',
  },
  {
    name: 'Urgent work',
    claim: 'Four urgent jobs sent late are the next four to start, before all that wait.',
    machines: 1,
    settings: { gpuCount: 4, failRate: 0, durationMs: 1000 },
    jobs: times(24, { priority: -10 }),
    whenStarted: play => play.submit(times(4, { priority: 100 })),
    judge: play => (overtakers(play) === 0 ? '' : `${overtakers(play)} started before an urgent one`),
  },
];

function note(first: Map<string, number>, id: string, frame: Frame): void {
  if (!first.has(id)) first.set(id, Number(frame['seq']));
}

/** One run of a scenario. */
export class Play {
  readonly scenario: Scenario;
  readonly ids: string[] = [];
  /** How each job ended. */
  readonly ends = new Map<string, string>();
  /** The `seq` at which each was first queued, and first assigned. */
  readonly queued = new Map<string, number>();
  readonly assigned = new Map<string, number>();
  machines: string[] = [];
  twice = 0;
  state: 'running' | 'as claimed' | 'not as claimed' | 'stopped' = 'running';
  said = '';
  #connection: Connection | undefined;
  #begun = false;
  readonly #type: string;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.#type = `play-${Math.random().toString(36).slice(2, 8)}`;
    this.machines = fleet.start(scenario.machines, {
      ...scenario.settings,
      speed: 1,
      jobTypes: [this.#type],
    });
    const connection = peers.add('client', 'scenario');
    this.#connection = connection;
    connection.onOpen = () => this.submit(scenario.jobs);
    connection.onFrame = frame => this.#take(frame);
    connection.onClose = () => this.#over('stopped', 'its connection closed');
    touch('mock');
  }

  get jobs(): number {
    return this.ids.length;
  }

  submit(jobs: readonly Omit<Job, 'job_id'>[]): void {
    const whole = jobs.map((job, i) => ({
      ...job,
      job_id: `${this.#type}:${this.ids.length + i}`,
      job_type: this.#type,
      params: {},
      watch: 'all',
    }));
    this.ids.push(...whole.map(job => job.job_id));
    this.#connection?.send({ type: 'submit_jobs', jobs: whole });
  }

  #take(frame: Frame): void {
    const id = String(frame['job_id']);
    if (frame.type === 'error') this.#over('not as claimed', String(frame['message']));
    else if (frame.type === 'job_queued') note(this.queued, id, frame);
    else if (frame.type === 'job_assigned') note(this.assigned, id, frame);
    else if (frame.type === 'job_started') this.#started(String(frame['worker_id']));
    else if (ENDS.has(frame.type)) this.#ended(id, frame.type);
    touch('mock');
  }

  #started(worker: string): void {
    if (this.#begun) return;
    this.#begun = true;
    this.scenario.whenStarted?.(this, worker.slice(0, worker.lastIndexOf(':')));
  }

  #ended(id: string, type: string): void {
    if (this.ends.has(id)) this.twice++;
    this.ends.set(id, type);
    if (this.ends.size < (this.scenario.endsWith ?? this.ids.length)) return;
    const fault = this.scenario.judge(this);
    this.#over(fault === '' ? 'as claimed' : 'not as claimed', fault);
  }

  /** Ends it, whatever is left: jobs that have not ended are cancelled, its machines go. */
  stop(): void {
    this.#over('stopped', 'by hand');
  }

  #over(state: Play['state'], said: string): void {
    if (this.state !== 'running') return;
    this.state = state;
    this.said = said;
    const connection = this.#connection;
    this.#connection = undefined;
    for (const id of this.ids) {
      if (!this.ends.has(id) && connection?.state === 'open')
        connection.send({ type: 'cancel_job', job_id: id });
    }
    for (const machine of this.machines) fleet.stop(machine);
    if (connection !== undefined) {
      connection.onFrame = connection.onOpen = () => {};
      // Closed twice: once the socket, then its place in the list.
      connection.onClose = () => peers.close(connection);
      peers.close(connection);
    }
    touch('mock');
  }
}
