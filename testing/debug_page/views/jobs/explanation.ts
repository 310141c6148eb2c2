// What the hub's `explain_job` means for a person: one sentence, whether it will start by itself, and how many GPUs
// are left after each test.

import type { ExplainCode, Explanation } from '../../../../core/messages/client.ts';
import { count, duration } from '../../text/format.ts';

/** In the order of the tests; each GPU is counted under the first that it fails. */
const TESTS = [
  ['job_type', 'take other types of job'],
  ['gpu_model', 'are another model of GPU'],
  ['vram_too_small', 'have too little memory'],
  ['models', 'lack a model on disk'],
  ['labels', 'have other labels'],
  ['gpus', 'stand in too small machines'],
  ['quarantined', 'are quarantined'],
  ['draining', 'are draining'],
  ['rejected', 'just turned it down'],
  ['busy', 'are busy now'],
] as const satisfies readonly (readonly [ExplainCode, string])[];

/** After these tests is left what could run it at some time. */
const LASTING: ReadonlySet<string> = new Set([
  'job_type',
  'gpu_model',
  'vram_too_small',
  'models',
  'labels',
  'gpus',
]);

export interface FunnelStep {
  code: string;
  words: string;
  count: number;
  /** How many GPUs are left after this test. */
  left: number;
}

/** The tests that keep some GPU out, from all that are connected to those that are free. */
export function funnelOf({ slots_total, reasons }: Explanation): FunnelStep[] {
  const steps: FunnelStep[] = [];
  let left = slots_total;
  for (const [code, words] of TESTS) {
    const out = reasons.find(reason => reason.code === code)?.count ?? 0;
    if (out === 0) continue;
    left -= out;
    steps.push({ code, words, count: out, left });
  }
  return steps;
}

export interface Verdict {
  sentence: string;
  /** Red: somebody must do something. Amber: it starts by itself. Violet: it is planned. */
  tone: 'bad' | 'waiting' | 'planned';
  /** What would help. */
  advice: string;
}

const capital = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
const gpus = (number: number) => (number === 1 ? 'one GPU' : `${count(number)} GPUs`);

/** @param due when it is planned to start, ms from now; for scheduled jobs only */
export function verdictOf(said: Explanation, due: number | null): Verdict {
  const has = (code: ExplainCode) => said.reasons.find(reason => reason.code === code);
  const paused = has('queue_paused');
  if (paused !== undefined) {
    return {
      sentence: capital(paused.message),
      tone: 'bad',
      advice: 'It goes on when the queue is resumed.',
    };
  }
  if (has('scheduled') !== undefined) {
    const sentence =
      due !== null && due > 0 ? `It is planned to start in ${duration(due)}.` : 'It is due now.';
    return { sentence, tone: 'planned', advice: '' };
  }
  if (said.slots_total === 0) {
    const advice = 'It starts when a machine connects; the console can start a mock one.';
    return { sentence: 'No machine is connected.', tone: 'bad', advice };
  }
  return verdictOnSlots(said);
}

function verdictOnSlots(said: Explanation): Verdict {
  const funnel = funnelOf(said);
  const out = (codes: (code: string) => boolean) =>
    funnel.filter(step => codes(step.code)).reduce((sum, step) => sum + step.count, 0);
  const able = said.slots_total - out(code => LASTING.has(code));
  if (able === 0) {
    // The reasons come with the nearest miss first.
    const nearest = said.reasons[0]?.message ?? '';
    const advice = `It starts when a GPU connects that meets all it requires. Nearest: ${nearest}.`;
    return { sentence: 'No GPU here can run it.', tone: 'bad', advice };
  }
  const shut = out(code => code === 'quarantined' || code === 'draining');
  if (shut === able) {
    const sentence = `The ${able === 1 ? 'only GPU' : `${count(able)} GPUs`} that could run it ${able === 1 ? 'takes' : 'take'} no new job: draining or quarantined.`;
    return { sentence, tone: 'bad', advice: 'It goes on when one of them is resumed.' };
  }
  if (able - shut > out(code => code === 'busy' || code === 'rejected')) {
    return {
      sentence: `${capital(`${gpus(able)} can run it`)} It starts in a moment.`,
      tone: 'waiting',
      advice: '',
    };
  }
  const sentence = `${capital(`${gpus(able)} can run it`)} None is free just now.`;
  return { sentence, tone: 'waiting', advice: 'It starts by itself; a higher priority brings it forward.' };
}
