import { describe, expect, test } from 'vitest';
import type { ExplainCode, Explanation } from '../../../../core/messages/client.ts';
import { funnelOf, verdictOf } from './explanation.ts';

const said = (slots_total: number, counts: Partial<Record<ExplainCode, number>>): Explanation => ({
  job_id: 'j',
  position: 1,
  eta_ms: null,
  slots_total,
  as_of: 0,
  reasons: Object.entries(counts).map(([code, count]) => ({
    code: code as ExplainCode,
    count,
    message: `the message of ${code}`,
  })),
});

describe('why a job waits', () => {
  test('the funnel is in the order of the tests, whatever the order of the reasons', () => {
    const funnel = funnelOf(said(40, { busy: 4, vram_too_small: 30, job_type: 6 }));
    expect(funnel.map(({ code, count, left }) => [code, count, left])).toEqual([
      ['job_type', 6, 34],
      ['vram_too_small', 30, 4],
      ['busy', 4, 0],
    ]);
  });

  test.each([
    ['no machine', said(0, { no_worker: 0 }), 'bad', 'No machine is connected.'],
    ['a pause', said(4, { queue_paused: 4 }), 'bad', 'The message of queue_paused.'],
    ['no GPU that fits', said(4, { vram_too_small: 4 }), 'bad', 'No GPU here can run it.'],
    ['a drain', said(4, { draining: 1, labels: 3 }), 'bad', 'The only GPU that could run it'],
    ['busy GPUs', said(4, { busy: 2, labels: 2 }), 'waiting', '2 GPUs can run it. None is free'],
    ['nothing', said(4, {}), 'waiting', '4 GPUs can run it. It starts in a moment.'],
  ] as const)('%s is said in one sentence', (_cause, answer, tone, sentence) => {
    const verdict = verdictOf(answer, null);
    expect(verdict.tone).toBe(tone);
    expect(verdict.sentence).toContain(sentence);
  });

  test('a planned start is counted down', () => {
    expect(verdictOf(said(4, { scheduled: 4 }), 90_000)).toMatchObject({
      tone: 'planned',
      sentence: 'It is planned to start in 1m30s.',
    });
  });
});
