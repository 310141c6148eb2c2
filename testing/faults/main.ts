/** `npm run faults`: runs the scenarios, prints a line for each, and ends with 1 when anything was violated. */
import { parseArgs } from 'node:util';
import { stopAll } from '../harness/processes.ts';
import { NOT_RUN, SCENARIOS } from './catalogue.ts';
import { lineOf, writeReport } from './report.ts';
import { type Outcome, runScenario } from './runner.ts';

/** Ignored by git; ledgers of what failed lie beside the report. */
const FOLDER = 'bench-results/faults';

const HELP = `Breaks a running system in known ways and checks that nothing is lost and nothing counts twice.

usage: npm run faults -- [options]

  --rounds N    how often each scenario runs, each time with the next seed (1)
  --seed S      the first seed (1)
  --only NAME   only scenarios whose name contains this; several separated by commas
  --short       only the short set that npm test runs
  --list        what there is, which faults it covers, and which cannot be run here and why
  --help`;

function list(): void {
  for (const { name, faults, title, short } of SCENARIOS)
    console.log(`${name.padEnd(24)} F${faults.join(', F')}${short ? ' (short set)' : ''}: ${title}`);
  console.log('\nnot run:');
  for (const [fault, reason] of Object.entries(NOT_RUN)) console.log(`F${fault.padEnd(4)} ${reason}`);
}

function wholeNumber(text: string, name: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0) return value;
  throw new Error(`--${name} must be a whole number`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '1' },
      seed: { type: 'string', default: '1' },
      only: { type: 'string' },
      short: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) console.log(HELP);
  if (values.list) list();
  if (values.help || values.list) return 0;
  const [rounds, seed] = [wholeNumber(values.rounds, 'rounds'), wholeNumber(values.seed, 'seed')];
  const wanted = values.only?.split(',');
  const chosen = SCENARIOS.filter(
    ({ name, short }) =>
      (wanted === undefined || wanted.some(part => name.includes(part))) && (!values.short || short),
  );
  if (chosen.length === 0) throw new Error(`no scenario is called "${values.only}"; --list shows them`);
  const outcomes: Outcome[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const scenario of chosen) {
      const outcome = await runScenario(scenario, seed + round, FOLDER);
      outcomes.push(outcome);
      console.log(lineOf(outcome));
    }
  }
  const failed = outcomes.filter(({ verdict }) => verdict.violations.length > 0).length;
  console.log(`${outcomes.length - failed} passed, ${failed} failed; ${await writeReport(FOLDER, outcomes)}`);
  return failed === 0 ? 0 : 1;
}

main().then(
  code => process.exit(code),
  async (error: Error) => {
    console.error(error.message);
    await stopAll();
    process.exit(2);
  },
);
