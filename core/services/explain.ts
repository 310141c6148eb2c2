import { monotonic, type RedisClock } from '../clock.ts';
import type { ExplainCode, Explanation } from '../messages/client.ts';
import type { Requirements } from '../messages/fields.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import type { Store, StoredJob } from '../store/store.ts';
import type { Jobs } from './jobs.ts';
import { misfit, type Need, type Profile } from './matching.ts';
import type { Operations } from './operations.ts';
import type { Statistics } from './statistics.ts';

/** Several who ask at once share one look at the fleet: it reads the record of every slot. */
const LOOK_MS = 500;
/** How much of a list of names a sentence shows. */
const SHOWN_MAX = 120;

type SlotCode = Exclude<ExplainCode, 'scheduled' | 'queue_paused' | 'tenant_limit' | 'no_worker'>;
type Reason = Explanation['reasons'][number];

/** The connected slots of all hubs at one moment. */
interface Look {
  /** ms by the clock of Redis. */
  at: number;
  slots: WorkerRecord[];
  /** How many slots each machine has. */
  sizes: Map<string, number>;
  /** Signatures passed over just now, by worker. */
  rejected: Map<string, Set<string>>;
}

/**
 * What is said of slots, the nearest miss first: the slots that got furthest through the tests are those that decide how
 * long the job waits.
 */
const TEXTS: Record<SlotCode, (one: boolean, need: Need) => string> = {
  busy: one => (one ? 'is busy with another job' : 'are busy with other jobs'),
  rejected: one => `${one ? 'has' : 'have'} just turned down a job of this kind`,
  draining: one => `${one ? 'is' : 'are'} draining and ${one ? 'takes' : 'take'} no new job`,
  quarantined: one => `${one ? 'is' : 'are'} quarantined`,
  gpus: (one, { requirements }) =>
    `${one ? 'belongs' : 'belong'} to machines with fewer than ${requirements.gpus} GPUs`,
  labels: (one, { requirements }) =>
    `${one ? 'has' : 'have'} not the labels ${shown(JSON.stringify(requirements.labels))}`,
  models: (one, { requirements }) =>
    `${one ? 'has' : 'have'} not all models of ${shown((requirements.models ?? []).join(', '))}`,
  vram_too_small: (one, { requirements }) =>
    `${one ? 'has' : 'have'} less than ${requirements.min_vram_mb} MB of memory, or did not say how much`,
  gpu_model: (one, { requirements }) =>
    `${one ? 'is' : 'are'} no ${shown((requirements.gpu_model ?? []).join(' or '))}`,
  job_type: (one, { job_type }) => `${one ? 'does' : 'do'} not take jobs of type ${job_type}`,
};
const NEAREST_FIRST = Object.keys(TEXTS) as SlotCode[];

const shown = (text: string) => (text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text);

/** Says why a job waits: where it stands, and what keeps each slot of the whole fleet from taking it. */
export class Explain {
  readonly #store: Store;
  readonly #jobs: Jobs;
  readonly #operations: Operations;
  readonly #statistics: Statistics;
  readonly #clock: RedisClock;
  #look: { taken_at: number; look: Promise<Look> } | undefined;

  constructor(store: Store, jobs: Jobs, operations: Operations, statistics: Statistics, clock: RedisClock) {
    this.#store = store;
    this.#jobs = jobs;
    this.#operations = operations;
    this.#statistics = statistics;
    this.#clock = clock;
  }

  /**
   * Why the job waits; no reasons when it does not, or will be assigned in a moment. Each connected slot is counted once,
   * under the first test it fails; a cause of the job's own counts the slots that fail none.
   *
   * @throws HubError `not_found`, `unavailable`
   */
  async explain(job_id: string): Promise<Explanation> {
    const job = await this.#jobs.get(job_id);
    const look = await this.#fleet();
    const answer = { job_id, slots_total: look.slots.length, as_of: look.at };
    if (job.status !== 'queued' && job.status !== 'scheduled') {
      return { ...answer, position: null, eta_ms: null, reasons: [] };
    }
    const [{ position, waiting }, pauses] = await Promise.all([
      this.#store.place(job),
      this.#pauses(job.fields.ty),
    ]);
    const need = needOf(job);
    const counts = countMisfits(look, need, job.fields.sg);
    const free = look.slots.length - [...counts.values()].reduce((sum, count) => sum + count, 0);
    const due = job.status === 'scheduled' ? (job.fields.ra ?? look.at) : null;
    const own = [...(due === null ? [] : [scheduled(due, job.fields.at ?? 0)]), ...pauses];
    const eta_ms =
      pauses.length > 0
        ? null
        : estimate({
            place: position ?? waiting + 1,
            free,
            busy: counts.get('busy') ?? 0,
            due_ms: Math.max(0, (due ?? look.at) - look.at),
            measured: this.#statistics.measured(need.job_type),
          });
    return {
      ...answer,
      position,
      eta_ms,
      reasons: [
        ...own.map((cause, i) => ({ ...cause, count: i === 0 ? free : 0 })),
        ...slotReasons(counts, look.slots.length, need),
      ],
    };
  }

  /** @throws HubError `unavailable` */
  async #pauses(job_type: string): Promise<Omit<Reason, 'count'>[]> {
    const paused = await this.#store.paused();
    return paused
      .filter(pause => pause.job_type === null || pause.job_type === job_type)
      .map(pause => ({
        code: 'queue_paused',
        message: `${pause.job_type === null ? 'all queues are' : `the queue of type ${job_type} is`} paused${pause.reason ? `: ${pause.reason}` : ''}`,
      }));
  }

  #fleet(): Promise<Look> {
    if (this.#look === undefined || monotonic() - this.#look.taken_at > LOOK_MS) {
      const look = this.#takeLook();
      this.#look = { taken_at: monotonic(), look };
      // A look that failed is not shared.
      look.catch(() => (this.#look = undefined));
    }
    return this.#look.look;
  }

  async #takeLook(): Promise<Look> {
    const slots = (await this.#operations.workers({})).filter(record => record.status !== 'offline');
    const sizes = new Map<string, number>();
    for (const { machine_id } of slots) sizes.set(machine_id, (sizes.get(machine_id) ?? 0) + 1);
    return { at: this.#clock.now(), slots, sizes, rejected: this.#statistics.rejections };
  }
}

const needOf = (job: StoredJob): Need => ({
  job_type: job.fields.ty,
  requirements: (job.submission['requirements'] as Requirements | undefined) ?? {},
});

function profileOf({ job_types, gpu_name, vram_mb, models, labels }: WorkerRecord): Profile {
  return { job_types, gpu_name, vram_mb, models, labels };
}

/** The first test that a slot fails, in the order of the protocol; null when it would take the job now. */
function failing(slot: WorkerRecord, look: Look, need: Need, signature: string): SlotCode | null {
  const unfit = misfit(profileOf(slot), need);
  if (unfit !== null) return unfit;
  if ((look.sizes.get(slot.machine_id) ?? 0) < (need.requirements.gpus ?? 1)) return 'gpus';
  if (slot.status === 'quarantined' || slot.status === 'draining') return slot.status;
  if (look.rejected.get(slot.worker_id)?.has(signature)) return 'rejected';
  return slot.status === 'idle' ? null : 'busy';
}

function countMisfits(look: Look, need: Need, signature: string): Map<SlotCode, number> {
  const counts = new Map<SlotCode, number>();
  for (const slot of look.slots) {
    const code = failing(slot, look, need, signature);
    if (code !== null) counts.set(code, (counts.get(code) ?? 0) + 1);
  }
  return counts;
}

function slotReasons(counts: Map<SlotCode, number>, total: number, need: Need): Reason[] {
  if (total === 0) return [{ code: 'no_worker', count: 0, message: 'no machine is connected' }];
  return NEAREST_FIRST.flatMap(code => {
    const count = counts.get(code);
    if (count === undefined) return [];
    const message = `${count} of ${total} ${total === 1 ? 'slot' : 'slots'} ${TEXTS[code](count === 1, need)}`;
    return [{ code, count, message }];
  });
}

function scheduled(due: number, attempt: number): Omit<Reason, 'count'> {
  const what = attempt > 0 ? `attempt ${attempt} failed; the next one is due` : 'it is due';
  return { code: 'scheduled', message: `${what} at ${new Date(due).toISOString()}` };
}

/**
 * When a job of this place may start. At best the slots that can run it serve its line alone, and the first is free in the
 * next moment; at worst they go on sharing their time as in the last minute.
 *
 * @param from.measured completions of the type in the last minute, the sum of their run times, and that minute in ms
 * @returns ms from now, or null when no slot can run it or nothing was measured
 */
export function estimate(from: {
  place: number;
  free: number;
  busy: number;
  due_ms: number;
  measured: { completed: number; run_ms: number; window_ms: number };
}): Explanation['eta_ms'] {
  const { place, free, busy, due_ms, measured } = from;
  const able = free + busy;
  if (able === 0) return null;
  /** So many slots must get free first. */
  const ahead = Math.max(0, place - free);
  if (ahead === 0) return { low: due_ms, high: due_ms };
  if (measured.completed === 0) return null;
  const each_ms = measured.run_ms / measured.completed / able;
  const low = (ahead - 1) * each_ms;
  const high = Math.max(ahead * each_ms, ahead * (measured.window_ms / measured.completed));
  return { low: Math.floor(due_ms + low), high: Math.ceil(due_ms + high) };
}
