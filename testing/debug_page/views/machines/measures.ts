import { hub, type Worker } from '../../state/hub_state.ts';

/** What the height of a small tile says. */
export const MEASURES = ['progress', 'utilisation', 'memory', 'temperature'] as const;
export type Measure = (typeof MEASURES)[number];

/** A GPU at this temperature fills its tile: it is near the limit of most. */
const HOT_C = 90;
/** A job that has just begun is seen, too. */
const LEAST_PROGRESS = 0.12;

/** The part that is filled, 0 to 1. */
export function levelOf(worker: Worker, measure: Measure): number {
  const { gpu_util, vram_used_mb, temperature_c } = worker.telemetry;
  if (measure === 'utilisation') return (gpu_util ?? 0) / 100;
  if (measure === 'memory') return worker.vram_mb ? (vram_used_mb ?? 0) / worker.vram_mb : 0;
  if (measure === 'temperature') return (temperature_c ?? 0) / HOT_C;
  if (worker.job_id === null) return 0;
  return Math.max(LEAST_PROGRESS, hub.jobs.get(worker.job_id)?.progress ?? 0);
}
