// What a mocked GPU makes and measures.

export interface MockJob {
  job_id: string;
  lease_id: string;
  job_type: string;
  params: Record<string, unknown>;
}

const IMAGE_PX = 96;
const IDLE_C = 38;
const BUSY_C = 68;

const around = (value: number, spread: number) => Math.round(value + (Math.random() - 0.5) * spread);

export function mockTelemetry(busy: boolean, vramMb: number) {
  return {
    gpu_util: busy ? Math.min(100, around(94, 10)) : 0,
    vram_used_mb: around(vramMb * (busy ? 0.72 : 0.04), vramMb * 0.02),
    temperature_c: around(busy ? BUSY_C : IDLE_C, 4),
    power_w: around(busy ? 280 : 36, 16),
  };
}

/** A small picture made from the job's id, so that an image in a result can be looked at. */
function picture(seed: string): string | undefined {
  if (typeof document === 'undefined') return undefined;
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = IMAGE_PX;
  const context = canvas.getContext('2d');
  if (context === null) return undefined;
  const hue = [...seed].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) % 360, 7);
  const gradient = context.createLinearGradient(0, 0, IMAGE_PX, IMAGE_PX);
  gradient.addColorStop(0, `hsl(${hue} 70% 60%)`);
  gradient.addColorStop(1, `hsl(${(hue + 70) % 360} 70% 30%)`);
  context.fillStyle = gradient;
  context.fillRect(0, 0, IMAGE_PX, IMAGE_PX);
  return canvas.toDataURL('image/png');
}

export function mockResult(job: MockJob): Record<string, unknown> {
  const image = job.job_type.startsWith('image') ? picture(job.job_id) : undefined;
  return { made_by: 'debug page', params: job.params, ...(image === undefined ? {} : { image }) };
}
