import type { ExplainCode, Explanation } from '../messages/client.ts';
import type { JobRecord } from '../messages/job.ts';
import type { Pause } from '../messages/stats.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import { count, duration, plural, visible } from './format.ts';

/** Names of a list that a sentence shows; the rest is counted. */
const NAMED_MOST = 3;

/** What follows from an explanation: whether the job starts by itself, or what somebody must do. */
export interface Verdict {
  starts_by_itself: boolean;
  /** Sentences, safe to show; those that name a command end with it. */
  lines: string[];
}

/** What the advice is made from, beside the explanation. */
export interface Surroundings {
  workers: readonly WorkerRecord[];
  paused: readonly Pause[];
}

/** Judges why a job waits. */
export function verdictOf(job: JobRecord, why: Explanation, around: Surroundings): Verdict {
  const counts = new Map<ExplainCode, number>();
  for (const { code, count: n } of why.reasons) counts.set(code, (counts.get(code) ?? 0) + n);
  const paused = counts.has('queue_paused');
  // The slots that fail no test of theirs are counted under the first cause of the job's own.
  const can_run = why.reasons.length === 0 || ABLE.some(code => (counts.get(code) ?? 0) > 0);
  const lines = paused ? pauseCauses(job, around.paused) : [];
  if (counts.has('scheduled') && job.run_at !== null) {
    const due = duration(job.run_at - why.as_of);
    lines.push(
      can_run && !paused ? `It starts by itself when it is due, in ${due}.` : `It is due in ${due}.`,
    );
  }
  if (!can_run) lines.push(...slotCauses(job, counts, around.workers));
  else if (lines.length === 0) lines.push(whenFree(counts));
  return { starts_by_itself: can_run && !paused, lines };
}

/** Slots that are counted under one of these could run the job. */
const ABLE: readonly ExplainCode[] = ['scheduled', 'queue_paused', 'tenant_limit', 'busy', 'rejected'];

/** A command for each pause that holds it. */
function pauseCauses({ job_type }: JobRecord, paused: readonly Pause[]): string[] {
  const ends = paused
    .filter(pause => pause.job_type === null || pause.job_type === job_type)
    .map(pause =>
      pause.job_type === null ? 'gpuhub resume-queue' : `gpuhub resume-queue ${visible(job_type)}`,
    );
  return [
    `It waits until the pause is ended: ${ends.length === 0 ? 'gpuhub pause --list' : ends.join(' and ')}`,
  ];
}

function whenFree(counts: ReadonlyMap<ExplainCode, number>): string {
  if (counts.has('busy')) return 'It starts by itself when a GPU that fits is free.';
  if (counts.has('rejected')) return 'It is offered again by itself in a moment.';
  return 'It starts by itself in a moment.';
}

/** No GPU takes it as things are: what would have to change, the nearest miss first. */
function slotCauses(
  { job_type, requirements }: JobRecord,
  counts: ReadonlyMap<ExplainCode, number>,
  workers: readonly WorkerRecord[],
): string[] {
  const here = workers.filter(({ status }) => status !== 'offline');
  if (counts.has('no_worker')) {
    return ['Connect a machine. To try it out with one that only pretends: npm run mock-worker'];
  }
  if (counts.has('draining')) return [`It waits until a GPU is resumed: ${resumeText(here)}`];
  if (counts.has('quarantined')) return ['It waits until a GPU is well again; which are not: gpuhub workers'];
  const [cause, offers] = missing(job_type, requirements ?? {}, counts, here);
  const known = offers === '' ? '' : ` ${offers}.`;
  return [`No GPU that is connected can run it: connect a machine ${cause}.${known}`];
}

function resumeText(here: readonly WorkerRecord[]): string {
  const drained = here.filter(({ status }) => status === 'draining');
  if (drained.length === 0) return 'gpuhub resume ID (gpuhub workers tells which)';
  return named(
    drained.map(({ worker_id, status_reason }) => {
      const reason = status_reason ? ` (drained: ${visible(status_reason)})` : '';
      return `gpuhub resume ${visible(worker_id)}${reason}`;
    }),
    'more: gpuhub workers',
  );
}

type Wishes = NonNullable<JobRecord['requirements']>;

/** What such a machine must have, and what those here have instead. */
function missing(
  job_type: string,
  wishes: Wishes,
  counts: ReadonlyMap<ExplainCode, number>,
  here: readonly WorkerRecord[],
): [cause: string, offers: string] {
  const offer = (what: string, values: readonly (string | null | undefined)[]) => {
    const distinct = [...new Set(values.filter(value => value != null))].sort();
    return distinct.length === 0 ? '' : `${what} ${named(distinct.map(visible), 'others')}`;
  };
  if (counts.has('gpus')) return [`with ${plural(wishes.gpus ?? 1, 'GPU')}`, ''];
  if (counts.has('labels')) return [`with the labels ${visible(JSON.stringify(wishes.labels))}`, ''];
  if (counts.has('models')) {
    return [
      `with the models ${visible((wishes.models ?? []).join(', '))}`,
      offer(
        'Here are',
        here.flatMap(({ models }) => models),
      ),
    ];
  }
  if (counts.has('vram_too_small')) {
    const largest = Math.max(0, ...here.map(({ vram_mb }) => vram_mb ?? 0));
    return [
      `with ${count(wishes.min_vram_mb)} MB of memory a GPU`,
      largest > 0 ? `The largest here has ${count(largest)} MB` : '',
    ];
  }
  if (counts.has('gpu_model')) {
    return [
      `with a ${visible((wishes.gpu_model ?? []).join(' or '))}`,
      offer(
        'Here are',
        here.map(({ gpu_name }) => gpu_name),
      ),
    ];
  }
  return [
    `that takes jobs of type ${visible(job_type)}`,
    offer(
      'Those here take',
      here.flatMap(({ job_types }) => job_types),
    ),
  ];
}

function named(texts: readonly string[], rest: string): string {
  const shown = texts.slice(0, NAMED_MOST).join(', ');
  return texts.length > NAMED_MOST ? `${shown}, and ${count(texts.length - NAMED_MOST)} ${rest}` : shown;
}
