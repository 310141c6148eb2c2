import type { JobState } from '../../../core/messages/job.ts';
import type { WorkerState } from '../../../core/messages/stats.ts';
import { Glyph, type GlyphName } from './glyph.tsx';

/** Six families of colour for all states: more hues are confused in some colour visions. */
export type Tone = 'planned' | 'waiting' | 'running' | 'good' | 'bad' | 'closed' | 'plain';

const JOB: Record<JobState, Tone> = {
  scheduled: 'planned',
  queued: 'waiting',
  assigned: 'running',
  processing: 'running',
  completed: 'good',
  failed: 'bad',
  cancelled: 'closed',
  expired: 'closed',
};

export const WORKER_TONES: Record<WorkerState, Tone> = {
  idle: 'plain',
  busy: 'running',
  stopping: 'waiting',
  draining: 'waiting',
  quarantined: 'bad',
  offline: 'closed',
};

const WORKER_GLYPHS: Record<WorkerState, GlyphName> = {
  idle: 'idle',
  busy: 'processing',
  stopping: 'cancelled',
  draining: 'paused',
  quarantined: 'failed',
  offline: 'away',
};

/** The state of a job as glyph and word: the wire's own word, as in the filter, the JSON and the command line. */
export function JobStateWord({ state }: { state: JobState }) {
  return (
    <span class={`state tone-${JOB[state] ?? 'plain'}`}>
      <Glyph name={state in JOB ? state : 'warning'} />
      {state}
    </span>
  );
}

export function WorkerStateWord({ state }: { state: WorkerState }) {
  return (
    <span class={`state tone-${WORKER_TONES[state] ?? 'plain'}`}>
      <Glyph name={WORKER_GLYPHS[state] ?? 'warning'} />
      {state}
    </span>
  );
}
