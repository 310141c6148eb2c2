import { describe, expect, it } from 'vitest';
import { classOf, fits, isGpuModel, type Profile } from './matching.ts';

const profile: Profile = {
  job_types: ['image'],
  gpu_name: 'NVIDIA GeForce RTX 4090',
  vram_mb: 24_576,
  models: ['sdxl', 'flux'],
  labels: { region: 'eu', tier: 'spot' },
};
const need = (requirements: object, job_type = 'image') => ({ job_type, requirements });

describe('gpu_model', () => {
  it.each(['RTX 4090', 'rtx 4090', 'GeForce', 'nvidia geforce rtx 4090', '4090', 'GeForce-RTX'])(
    '%s is a run of whole words of the name',
    wanted => {
      expect(isGpuModel('NVIDIA GeForce RTX 4090', wanted)).toBe(true);
    },
  );
  it.each(['RTX 40', '409', 'NVIDIA RTX', 'RTX 4090 Ti', '', '  ', 'A100'])('"%s" is not', wanted => {
    expect(isGpuModel('NVIDIA GeForce RTX 4090', wanted)).toBe(false);
  });
});

describe('a slot fits', () => {
  it.each([
    ['nothing asked', {}],
    ['less memory', { min_vram_mb: 24_576 }],
    ['one of several GPUs', { gpu_model: ['A100', 'RTX 4090'] }],
    ['all models', { models: ['flux', 'sdxl'] }],
    ['a label', { labels: { region: 'eu' } }],
    ['a label of several', { labels: { region: ['us', 'eu'], tier: 'spot' } }],
    ['a wish', { prefer_model: 'nobody has it' }],
  ])('%s', (_what, requirements) => {
    expect(fits(profile, need(requirements))).toBe(true);
  });

  it.each([
    ['more memory', { min_vram_mb: 24_577 }],
    ['another GPU', { gpu_model: ['A100'] }],
    ['a model it has not', { models: ['sdxl', 'wan'] }],
    ['another label', { labels: { region: 'us' } }],
    ['a label it has not', { labels: { rack: '1' } }],
    ['a label called constructor', { labels: { constructor: 'x' } }],
  ])('not: %s', (_what, requirements) => {
    expect(fits(profile, need(requirements))).toBe(false);
  });

  it('only jobs of its types, unless it takes all', () => {
    expect(fits(profile, need({}, 'video'))).toBe(false);
    expect(fits({ ...profile, job_types: ['*'] }, need({}, 'video'))).toBe(true);
  });

  it('never meets a need of memory or model it does not know', () => {
    expect(fits({ ...profile, vram_mb: null }, need({ min_vram_mb: 1 }))).toBe(false);
    expect(fits({ ...profile, vram_mb: null }, need({ min_vram_mb: 0 }))).toBe(true);
    expect(fits({ ...profile, gpu_name: null }, need({ gpu_model: ['RTX'] }))).toBe(false);
  });
});

describe('a class', () => {
  it('is the same whatever the order of what a slot offers', () => {
    const turned = {
      ...profile,
      models: ['flux', 'sdxl'],
      labels: { tier: 'spot', region: 'eu' },
      gpu_name: 'nvidia geforce rtx 4090',
    };
    expect(classOf(turned, [])).toBe(classOf(profile, []));
  });
  it('is another one while signatures are passed over', () => {
    expect(classOf(profile, ['s1'])).not.toBe(classOf(profile, []));
    expect(classOf(profile, ['s1', 's2'])).toBe(classOf(profile, ['s2', 's1']));
  });
});
