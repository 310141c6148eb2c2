import { expect, it } from 'vitest';
import { jobRecord, NOW, workerRecord } from '../../testing/harness/fake_hub.ts';
import type { ExplainCode, Explanation } from '../messages/client.ts';
import { type Surroundings, verdictOf } from './verdict.ts';

const explanation = (counts: Partial<Record<ExplainCode, number>>): Explanation => ({
  job_id: 'j1',
  position: 1,
  eta_ms: null,
  slots_total: 4,
  as_of: NOW,
  reasons: Object.entries(counts).map(([code, count]) => ({
    code: code as ExplainCode,
    count,
    message: code,
  })),
});

function verdict(
  counts: Partial<Record<ExplainCode, number>>,
  job: Parameters<typeof jobRecord>[0] = {},
  around: Partial<Surroundings> = {},
) {
  const { starts_by_itself, lines } = verdictOf(
    jobRecord({ status: 'queued', ...job }),
    explanation(counts),
    {
      workers: [workerRecord()],
      paused: [],
      ...around,
    },
  );
  return [starts_by_itself, ...lines];
}

it('what passes by itself needs nobody', () => {
  expect(verdict({})).toEqual([true, 'It starts by itself in a moment.']);
  expect(verdict({ busy: 2, vram_too_small: 2 })).toEqual([
    true,
    'It starts by itself when a GPU that fits is free.',
  ]);
  expect(verdict({ rejected: 1 })).toEqual([true, 'It is offered again by itself in a moment.']);
  expect(verdict({ scheduled: 2 }, { status: 'scheduled', run_at: NOW + 90_000 })).toEqual([
    true,
    'It starts by itself when it is due, in 1m30s.',
  ]);
});

it('a pause is ended by its command, also where there are two', () => {
  const all = { job_type: null, reason: null, at: NOW };
  const type = { job_type: 'video.render', reason: null, at: NOW };
  const other = { job_type: 'audio', reason: null, at: NOW };
  expect(verdict({ queue_paused: 3 }, {}, { paused: [other, type] })).toEqual([
    false,
    'It waits until the pause is ended: gpuhub resume-queue video.render',
  ]);
  expect(verdict({ queue_paused: 3 }, {}, { paused: [all, type] })[1]).toBe(
    'It waits until the pause is ended: gpuhub resume-queue and gpuhub resume-queue video.render',
  );
});

it('drained GPUs are resumed by their commands', () => {
  const workers = Array.from({ length: 5 }, (_, i) =>
    workerRecord({
      worker_id: `m:gpu${i}`,
      status: i === 4 ? 'busy' : 'draining',
      status_reason: i === 0 ? 'new\ndriver' : null,
    }),
  );
  expect(verdict({ draining: 4, job_type: 1 }, {}, { workers })).toEqual([
    false,
    'It waits until a GPU is resumed: gpuhub resume m:gpu0 (drained: new‹U+000A›driver), gpuhub resume m:gpu1, ' +
      'gpuhub resume m:gpu2, and 1 more: gpuhub workers',
  ]);
  const later = { status: 'scheduled' as const, run_at: NOW + 90_000 };
  expect(verdict({ scheduled: 0, draining: 4 }, later, { workers: [] }).slice(0, 2)).toEqual([
    false,
    'It is due in 1m30s.',
  ]);
});

it.each<[ExplainCode, object | null, string]>([
  ['job_type', null, 'that takes jobs of type video.render. Those here take *.'],
  [
    'vram_too_small',
    { min_vram_mb: 160_000 },
    'with 160,000 MB of memory a GPU. The largest here has 81,920 MB.',
  ],
  ['gpu_model', { gpu_model: ['A100', 'B200'] }, 'with a A100 or B200. Here are NVIDIA H100 80GB HBM3.'],
  ['models', { models: ['flux'] }, 'with the models flux. Here are wan-2.2-14b.'],
  ['labels', { labels: { region: 'us' } }, 'with the labels {"region":"us"}.'],
  ['gpus', { gpus: 8 }, 'with 8 GPUs.'],
])('%s: says what a machine must have, and what those here have', (code, requirements, text) => {
  const job = { requirements } as Parameters<typeof jobRecord>[0];
  expect(verdict({ [code]: 4 }, job)).toEqual([
    false,
    `No GPU that is connected can run it: connect a machine ${text}`,
  ]);
});

it('without any machine it says how to get one, and names commands for what cannot be mended here', () => {
  expect(verdict({ no_worker: 0 }, {}, { workers: [] })[1]).toContain('npm run mock-worker');
  expect(verdict({ quarantined: 1 })[1]).toContain('gpuhub workers');
});
