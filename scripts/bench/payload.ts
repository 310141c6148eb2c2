import { nowMs, type Params, type Result } from './system.ts';

/** Finished jobs that each system keeps; both delete older ones while they run. */
export const KEEP_FINISHED = 1000;

const PROMPT =
  'a photograph of a red fox that reads a newspaper on a park bench in the snow, morning light, ';

/** The parameters of an image job: 970 bytes of JSON. */
export function makeParams(seed: number): Params {
  return {
    prompt: PROMPT.repeat(5),
    negative_prompt: 'blurry, low quality, watermark, text, cropped, out of frame, '.repeat(4),
    model: 'stable-diffusion-xl-base-1.0',
    sampler: 'dpmpp_2m_karras',
    width: 1024,
    height: 1024,
    steps: 30,
    cfg_scale: 7.5,
    seed: 1_000_000_000 + seed,
    user: '7f6c2b9e-64f1-4e0f-9d39-0f3a1f2f8d11',
    callback: 'app.example.com/hooks/pic',
  };
}

/** A small result: 188 bytes of JSON. */
export function makeResult(params: Params): Result {
  return {
    started_ms: Math.round(nowMs() * 1000) / 1000,
    seed: params['seed'],
    image_url: 'https://images.example.com/2026/11/22/4f1d7a1c-0f54-4a61-a7c3-8b1d2e3f4a5b.png',
    width: 1024,
    height: 1024,
    nsfw: false,
    v: 'x26.11',
  };
}
