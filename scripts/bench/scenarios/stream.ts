import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, Findings, Scenario } from '../scenario.ts';
import { median, percentile, percentiles, spread } from '../statistics.ts';
import { type CpuShare, Started } from './measured_hub.ts';
import type { Seen } from './stream_watchers.ts';
import type { Streaming } from './stream_worker.ts';

const JOBS = 64;
const PER_SECOND = 100;
/** The first outputs find cold code and empty buffers. */
const WARM_UP = { per_second: PER_SECOND, seconds: 1 };
const POLL_MS = 20;

interface Run {
  sent: number;
  delivered: number;
  delivered_per_s: number;
  delays: number[];
  share: CpuShare;
}

async function runOnce(bench: Bench, seconds: number): Promise<Run> {
  await using started = new Started();
  const [worker, watchers] = [started.load('stream_worker'), started.load('stream_watchers')];
  const hub = await started.hub(await bench.redis('memory'), bench.profile);
  await worker.ask('open', { url: hub.url, slots: JOBS });
  await watchers.ask('openOwn', { url: hub.url, watchers: JOBS, jobs: JOBS, sample: 1 });
  while ((await worker.ask<number>('running')) < JOBS) await sleep(POLL_MS);
  const stream = async (streaming: Streaming) => {
    const sent = await worker.ask<number>('stream', streaming);
    return { sent, seen: await watchers.ask<Seen>('arrived', sent) };
  };
  await stream(WARM_UP);
  const { result, ms, share } = await hub.during(() => stream({ per_second: PER_SECOND, seconds }));
  const { sent } = result;
  const { outputs, delays, closed } = result.seen;
  if (closed > 0) throw new Error(`the hub closed ${closed} watchers`);
  return { sent, delivered: outputs, delivered_per_s: (outputs / ms) * 1000, delays, share };
}

function findings(runs: readonly Run[], seconds: number): Findings {
  const percent = (of: (run: Run) => number) => `${(100 * median(runs.map(of))).toFixed(0)} %`;
  const delays = runs.flatMap(run => run.delays);
  const offered = JOBS * PER_SECOND;
  const sent = runs.reduce((sum, run) => sum + run.sent, 0);
  const delivered = runs.reduce((sum, run) => sum + run.delivered, 0);
  return {
    tables: [
      {
        title: `stream: ${JOBS} jobs, each sends ${PER_SECOND} tokens a second to its own watcher`,
        note: `${runs.length} runs of ${seconds} s; delay in ms from the worker's send to the watcher; CPU in % of a core`,
        head: ['offered/s', 'delivered/s', 'delivered of sent', 'delay p50 / p99 / p99.9', 'hub', 'Redis'],
        rows: [
          [
            offered.toLocaleString('en-US'),
            Math.round(median(runs.map(run => run.delivered_per_s))).toLocaleString('en-US'),
            `${delivered.toLocaleString('en-US')} / ${sent.toLocaleString('en-US')}`,
            percentiles(delays),
            percent(run => run.share.hub),
            percent(run => run.share.redis),
          ],
        ],
      },
    ],
    plots: [
      {
        file: 'stream',
        title: `Delay of a token, worker to watcher, at ${offered.toLocaleString('en-US')} a second`,
        x: 'percentile',
        y: 'ms',
        series: [
          {
            name: 'gpuhub',
            points: [0.5, 0.9, 0.99].map(share => ({
              x: `p${share * 100}`,
              ...spread(runs.map(run => percentile(run.delays, share))),
            })),
          },
        ],
      },
    ],
    ratios: [
      { what: 'tokens delivered of those sent', value: delivered / sent, target: { is: '>=', aim: 1 } },
    ],
    raw: runs.map(({ delays, ...run }) => ({
      ...run,
      delay_ms: {
        p50: percentile(delays, 0.5),
        p99: percentile(delays, 0.99),
        p999: percentile(delays, 0.999),
      },
    })),
  };
}

export const scenario: Scenario = {
  name: 'stream',
  about: 'tokens of 64 jobs, each to its own watcher: how many arrive, how late, at what CPU',
  async run(bench: Bench): Promise<Findings> {
    const [reps, seconds] = bench.quick ? [1, 4] : [bench.reps, 15];
    const runs: Run[] = [];
    for (let rep = 0; rep < reps; rep++) {
      bench.say(`stream: run ${rep + 1} of ${reps}`);
      runs.push(await runOnce(bench, seconds));
    }
    return findings(runs, seconds);
  },
};
