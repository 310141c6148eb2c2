import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureChromium } from './chromium.ts';

/**
 * `npm test`: format, lint with the layer rules, types, dead code, generated files, then the suites. Ends with the line
 * `N passed, N failed`, a check counting as one. `npm test -- unit hub` runs only those suites, without the checks.
 */
const CHECKS: [string, string[]][] = [
  ['format', ['biome', 'format', '.']],
  ['lint and layers', ['oxlint', '--type-aware', 'core', 'scripts', 'testing']],
  ['lint of the Dockerfile', ['dockerfile-utils', 'lint', 'docker/Dockerfile']],
  ['types', ['tsc', '-p', 'tsconfig.json']],
  ['the hub builds', ['tsx', 'scripts/build.mjs']],
  ['dead code', ['knip']],
  ['generated references are fresh', ['tsx', 'scripts/generate.ts', '--check']],
  ['debug page is fresh', ['tsx', 'scripts/build_debug_page.ts', '--check']],
];
const SUITES = ['unit', 'setup', 'store', 'hub', 'command', 'faults', 'browser'];

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

const ci = process.env['CI'] === 'true';

function run(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number; output: string }> {
  return new Promise(resolve => {
    const child = spawn(join('node_modules', '.bin', command), args, { env: { ...process.env, ...env } });
    let output = '';
    const keep = (chunk: Buffer) => {
      output += chunk.toString();
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', error => resolve({ code: 1, output: String(error) }));
    child.on('close', code => resolve({ code: code ?? 1, output }));
  });
}

async function check(name: string, [command, ...args]: string[]): Promise<boolean> {
  const began = performance.now();
  const { code, output } = await run(command as string, args);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`${code === 0 ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)`);
  if (code !== 0) console.log(output);
  return code === 0;
}

/** The suites that can run here, and a failure for those that cannot but must. */
async function runnable(
  suites: string[],
): Promise<{ suites: string[]; env: NodeJS.ProcessEnv; missing: boolean }> {
  if (!suites.includes('browser')) return { suites, env: {}, missing: false };
  const chromium = await ensureChromium();
  if ('path' in chromium) return { suites, env: { CHROMIUM_PATH: chromium.path }, missing: false };
  console.log(`${ci ? 'FAIL' : 'left out:'} the browser suite: ${chromium.missing}`);
  return { suites: suites.filter(suite => suite !== 'browser'), env: {}, missing: ci };
}

async function runSuites(suites: string[], env: NodeJS.ProcessEnv): Promise<Tally> {
  const folder = await mkdtemp(join(tmpdir(), 'gpuhub-test-'));
  const file = join(folder, 'results.json');
  const projects = suites.flatMap(suite => ['--project', suite]);
  const args = ['run', ...projects, '--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const child = spawn(join('node_modules', '.bin', 'vitest'), args, {
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  const code = await new Promise<number>(resolve => child.on('close', status => resolve(status ?? 1)));
  try {
    const results = JSON.parse(await readFile(file, 'utf8'));
    const failed = results.numFailedTests as number;
    // A file that fails to load has no failed test, but is a failure all the same.
    return {
      passed: results.numPassedTests,
      failed: code !== 0 && failed === 0 ? 1 : failed,
      skipped: results.numPendingTests + results.numTodoTests,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<number> {
  const chosen = process.argv.slice(2);
  const unknown = chosen.filter(name => !SUITES.includes(name));
  if (unknown.length > 0) {
    console.error(`there is no suite "${unknown[0]}"; there are ${SUITES.join(', ')}`);
    return 2;
  }
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
  for (const [name, command] of chosen.length > 0 ? [] : CHECKS) {
    tally[(await check(name, command)) ? 'passed' : 'failed'] += 1;
  }
  const { suites, env, missing } = await runnable(chosen.length > 0 ? chosen : SUITES);
  if (missing) tally.failed += 1;
  const tests = await runSuites(suites, env);
  tally.passed += tests.passed;
  tally.failed += tests.failed;
  tally.skipped += tests.skipped;
  console.log(
    `${tally.passed} passed, ${tally.failed} failed${tally.skipped > 0 ? `, ${tally.skipped} skipped` : ''}`,
  );
  return tally.failed === 0 ? 0 : 1;
}

process.exitCode = await main();
