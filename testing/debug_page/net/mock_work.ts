// What a mocked GPU makes and measures.

import { tinyPng } from './tiny_png.ts';

export interface MockJob {
  job_id: string;
  lease_id: string;
  job_type: string;
  params: Record<string, unknown>;
}

const IMAGE_PX = 64;
const IDLE_C = 38;
const BUSY_C = 68;

const around = (value: number, spread: number) => Math.round(value + (Math.random() - 0.5) * spread);

export function mockTelemetry(busy: boolean, vramMb: number) {
  return {
    gpu_util: busy ? Math.min(100, around(94, 10)) : 0,
    vram_used_mb: around(vramMb * (busy ? 0.72 : 0.04), vramMb * 0.02),
    temperature_c: around(busy ? BUSY_C : IDLE_C, 4),
    power_w: around(busy ? 280 : 36, 16),
    loaded_models: busy ? ['sdxl', 't5-xxl'] : ['sdxl'],
  };
}

const COLOURS = 256;

/** A small picture made from the job's id, so that an image in a result can be looked at. */
function picture(seed: string): string {
  const hash = [...seed].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) % 100_003, 7);
  const shade = (shift: number, i: number) =>
    Math.round(127 + 120 * Math.sin((i / COLOURS) * 3 + hash + shift));
  const palette = Array.from({ length: COLOURS }, (_, i) => [shade(0, i), shade(2, i), shade(4, i)]).flat();
  const wave = (x: number, y: number) => Math.sin((x + (hash % 17)) / 9) + Math.sin((y + (hash % 23)) / 7);
  const png = tinyPng(IMAGE_PX, palette, (x, y) => Math.round(((wave(x, y) + 2) / 4) * (COLOURS - 1)));
  return `data:image/png;base64,${btoa(String.fromCharCode(...png))}`;
}

export function mockResult(job: MockJob): Record<string, unknown> {
  const image = job.job_type.startsWith('image') ? picture(job.job_id) : undefined;
  return { made_by: 'debug page', params: job.params, ...(image === undefined ? {} : { image }) };
}
