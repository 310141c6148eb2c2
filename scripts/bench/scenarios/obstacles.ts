import type { Content } from '../../../core/store/store.ts';
import type { Bench, Findings, Ratio, Scenario } from '../scenario.ts';
import {
  type CostCell,
  costPlot,
  costRatios,
  costTable,
  howMeasured,
  measureInTurns,
  type Probe,
  type Turns,
} from './costs.ts';
import { CALL_OPERATIONS, contentFor, StoreBench, startMemoryRedis } from './store_bench.ts';

interface Plan extends Turns {
  /** Jobs that no slot can run. */
  unfit: number[];
  /** Signatures that a class of slots can run. */
  fitting: number[];
  slots: number[];
}

const QUICK: Plan = {
  unfit: [0, 1000],
  fitting: [1, 100, 1000],
  slots: [1, 100, 2000],
  groups: 2,
  turns: 6,
};
const FULL: Plan = { ...QUICK, unfit: [0, 1000, 1_000_000], groups: 9, turns: 16 };

/** Waiting lines that nobody serves: the most there are by default. */
const UNFIT_SIGNATURES = 1000;
const HIGHEST_PRIORITY = 100;
/** Waiting in each line that somebody serves, so that none runs empty: what is hard is to choose among their heads. */
const WAITING_EACH = 8;

/** Jobs of as many types, one type after the other. */
const contentOf = (family: string, types: number) => (i: number) =>
  contentFor(i, { job_type: `${family}-${i % types}` });

const unfitContent = (i: number) =>
  contentFor(i, { job_type: `unfit-${i % UNFIT_SIGNATURES}`, priority: HIGHEST_PRIORITY });

const familyOf = (types: number) => `fit${types}`;
const slotsOf = (count: number) => `slots${count}`;
const number = (value: number) => value.toLocaleString('en-US');

/** A Redis with obstacles, and slots that can run one, a hundred or a thousand signatures beside them. */
async function openWith(unfit: number, plan: Plan): Promise<StoreBench> {
  const bench = await StoreBench.open(await startMemoryRedis());
  for (const types of plan.fitting) {
    const content = contentOf(familyOf(types), types);
    const signatures = Array.from({ length: types }, (_, i) => content(i).signature);
    await bench.addSlots(familyOf(types), CALL_OPERATIONS, signatures);
    await bench.fill(types * WAITING_EACH, content);
  }
  await bench.fill(unfit, unfitContent);
  return bench;
}

/** A Redis with a waiting line for each number of slots. */
async function openSlots(plan: Plan): Promise<StoreBench> {
  const bench = await StoreBench.open(await startMemoryRedis());
  for (const count of plan.slots) {
    const content = contentOf(slotsOf(count), 1);
    await bench.addSlots(slotsOf(count), count, [content(0).signature]);
    await bench.fill(WAITING_EACH, content);
  }
  return bench;
}

function unfitProbe(bench: StoreBench, unfit: number, types: number): Probe {
  const content = contentOf(familyOf(types), types);
  const name = `${number(unfit)} unfit, ${number(types)} fitting signature${types === 1 ? '' : 's'}`;
  let submitted = 0;
  return {
    cell: { name, x: number(unfit), groups: [] },
    cycle: () => {
      const contents = Array.from({ length: CALL_OPERATIONS }, () => content(submitted++));
      return bench.cycle(familyOf(types), contents, i => i);
    },
  };
}

/** The slots of a call lie far from each other, on as many machines as there can be. */
function slotProbe(bench: StoreBench, count: number, calls_of: number): Probe {
  const content: Content[] = Array.from({ length: calls_of }, (_, i) => contentOf(slotsOf(count), 1)(i));
  const step = Math.max(1, Math.floor(count / calls_of));
  let first = 0;
  return {
    cell: {
      name: `${number(count)} slot${count === 1 ? '' : 's'}, ${calls_of} a call`,
      x: count,
      groups: [],
    },
    cycle: () => {
      first += 1;
      return bench.cycle(slotsOf(count), content, i => i * step + first);
    },
  };
}

interface Measured {
  /** By unfit jobs, then by fitting signatures, as the plan has them. */
  unfit: CostCell[][];
  one_a_call: CostCell[];
  full_calls: CostCell[];
}

function findings(plan: Plan, { unfit, one_a_call, full_calls }: Measured): Findings {
  const cells = unfit.flat();
  const base = cells[0] as CostCell;
  const most = unfit.at(-1) as CostCell[];
  const most_jobs = plan.unfit.at(-1) as number;
  const target: Ratio['target'] = { is: '<=', least: 1.25, aim: 1.1 };
  const note =
    `µs inside EVALSHA for one operation, ${CALL_OPERATIONS} a call; ${howMeasured(plan)}; × is against the first row in the same ` +
    `group; the unfit jobs wait at the highest priority in ${number(UNFIT_SIGNATURES)} signatures, the fitting ones in turn`;
  const slot_note = `µs inside EVALSHA for one operation; ${howMeasured(plan)}; × is against the first row; one waiting line`;
  return {
    tables: [
      costTable('obstacles: the cost in Redis behind jobs that no slot can run', note, cells, base),
      costTable('slots: one operation a call', slot_note, one_a_call, one_a_call[0] as CostCell),
      costTable('slots: full calls, over many machines', slot_note, full_calls, full_calls[0] as CostCell),
    ],
    plots: [
      costPlot(
        'obstacles',
        'Cost in Redis behind jobs that no slot can run',
        'unfit jobs',
        unfit.map(of => of[0] as CostCell),
      ),
      costPlot(
        'signatures',
        'Cost in Redis by signatures that fit',
        'fitting signatures',
        (unfit[0] as CostCell[]).map((cell, i) => ({ ...cell, x: plan.fitting[i] as number })),
      ),
    ],
    ratios: [
      ...costRatios(
        `behind ${number(most_jobs)} unfit jobs in ${number(UNFIT_SIGNATURES)} signatures, against none`,
        most[0] as CostCell,
        base,
        plan === FULL ? target : undefined,
      ),
      ...costRatios(
        `${number(plan.fitting.at(-1) as number)} fitting signatures against 1`,
        (unfit[0] as CostCell[]).at(-1) as CostCell,
        base,
        { is: '<=', least: 3, aim: 1.5 },
        ['claim'],
      ),
    ],
    raw: { plan, unfit, one_a_call, full_calls },
  };
}

export const scenario: Scenario = {
  name: 'obstacles',
  about: 'what a submit, a claim and an end cost in Redis, by jobs no worker can run, signatures and slots',
  async run(bench: Bench): Promise<Findings> {
    const plan = bench.quick ? QUICK : FULL;
    const benches: StoreBench[] = [];
    try {
      const unfit: Probe[][] = [];
      for (const count of plan.unfit) {
        bench.say(`obstacles: ${number(count)} jobs that nobody can run are put in`);
        const store = await openWith(count, plan);
        benches.push(store);
        unfit.push(plan.fitting.map(types => unfitProbe(store, count, types)));
      }
      const slots = await openSlots(plan);
      benches.push(slots);
      const one_a_call = plan.slots.map(count => slotProbe(slots, count, 1));
      const full_calls = plan.slots
        .filter(count => count >= CALL_OPERATIONS)
        .map(count => slotProbe(slots, count, CALL_OPERATIONS));
      bench.say(`obstacles: ${plan.groups} groups`);
      await measureInTurns([...unfit.flat(), ...one_a_call, ...full_calls], plan, async () => {
        for (const store of benches) await store.trim();
      });
      const cells = (probes: Probe[]) => probes.map(({ cell }) => cell);
      return findings(plan, {
        unfit: unfit.map(cells),
        one_a_call: cells(one_a_call),
        full_calls: cells(full_calls),
      });
    } finally {
      for (const store of benches) await store.close();
    }
  },
};
