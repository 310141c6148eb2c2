import { createHash } from 'node:crypto';
import type { Requirements } from '../messages/fields.ts';
import { canonicalJson } from '../messages/json.ts';

/** What a slot offers. Slots with equal profiles are one class. */
export interface Profile {
  job_types: string[];
  gpu_name: string | null;
  vram_mb: number | null;
  models: string[];
  labels: Record<string, string>;
}

/** What a waiting line asks for: the definition of a signature. */
export interface Need {
  job_type: string;
  requirements: Requirements;
}

export function parseDefinition(definition: string): Need {
  const [job_type, requirements] = JSON.parse(definition) as [string, Requirements];
  return { job_type, requirements };
}

const words = (text: string) =>
  text
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter(word => word !== '');

/** Is `wanted` a run of whole words of the GPU's name? "RTX 4090" is one of "NVIDIA GeForce RTX 4090", "RTX 40" is not. */
export function isGpuModel(name: string, wanted: string): boolean {
  if (name.toLowerCase() === wanted.toLowerCase()) return true;
  const have = words(name);
  const want = words(wanted);
  if (want.length === 0) return false;
  return have.some((_, start) => want.every((word, i) => have[start + i] === word));
}

/** What a profile lacks, by the name of the test it fails. */
export type Misfit = 'job_type' | 'gpu_model' | 'vram_too_small' | 'models' | 'labels';

/** Does a slot of this profile meet all that a job needs? */
export const fits = (profile: Profile, need: Need) => misfit(profile, need) === null;

/** The first test that a slot of this profile fails, in the order of the protocol's `explain_job`, or null. */
export function misfit(profile: Profile, need: Need): Misfit | null {
  const { min_vram_mb, gpu_model, models, labels } = need.requirements;
  if (!profile.job_types.includes('*') && !profile.job_types.includes(need.job_type)) return 'job_type';
  if (gpu_model !== undefined) {
    const name = profile.gpu_name;
    if (name === null || !gpu_model.some(wanted => isGpuModel(name, wanted))) return 'gpu_model';
  }
  if (
    min_vram_mb !== undefined &&
    min_vram_mb > 0 &&
    (profile.vram_mb === null || profile.vram_mb < min_vram_mb)
  )
    return 'vram_too_small';
  if (models !== undefined && !models.every(model => profile.models.includes(model))) return 'models';
  if (labels === undefined) return null;
  return Object.entries(labels).every(([key, wanted]) => hasLabel(profile.labels, key, wanted))
    ? null
    : 'labels';
}

function hasLabel(labels: Record<string, string>, key: string, wanted: string | string[]): boolean {
  if (!Object.hasOwn(labels, key)) return false;
  const value = labels[key] as string;
  return Array.isArray(wanted) ? wanted.includes(value) : value === wanted;
}

/** The name of a class of equal slots: the same on every hub. `passed_over` are signatures the slot rejected just now. */
export function classOf(profile: Profile, passed_over: string[]): string {
  const canonical = canonicalJson(
    {
      ...profile,
      gpu_name: profile.gpu_name?.toLowerCase() ?? null,
      job_types: [...profile.job_types].sort(),
      models: [...profile.models].sort(),
      passed_over: [...passed_over].sort(),
    },
    'profile',
  );
  return createHash('sha256').update(canonical).digest().subarray(0, 12).toString('base64url');
}
