import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** A suite for each layer. On a small machine its files run one at a time: where leases are short, that must be so. */
const suite = (name: string, include: string[], more: object = {}) => ({
  // On a busy machine a second, the default, is not long for a page to draw or a hub to start.
  test: {
    name,
    include,
    testTimeout: 20_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 10_000 } },
    ...more,
  },
});

/** Files that share a process: to start one for each would take as long as their tests. */
const ONE_PROCESS = { isolate: false };

/** Files that mostly wait for processes, and have no short lease. The group is because others run one at a time. */
const SIDE_BY_SIDE = { maxWorkers: Math.max(2, availableParallelism() - 1), sequence: { groupOrder: 1 } };

export default defineConfig({
  test: {
    globalSetup: ['testing/harness/global_setup.ts'],
    projects: [
      suite(
        'unit',
        ['core/**/*.test.ts', 'testing/*.test.ts', 'testing/debug_page/**/*.test.ts', 'scripts/**/*.test.ts'],
        ONE_PROCESS,
      ),
      suite('setup', ['testing/setup/**/*.test.ts'], SIDE_BY_SIDE),
      suite('store', ['testing/store/**/*.test.ts'], ONE_PROCESS),
      suite('hub', ['testing/protocol/**/*.test.ts', 'testing/hub/**/*.test.ts']),
      suite('command', ['testing/command/**/*.test.ts'], SIDE_BY_SIDE),
      suite('faults', ['testing/faults/**/*.test.ts']),
      suite('browser', ['testing/browser/**/*.test.ts']),
    ].map(project => ({ ...project, extends: true as const })),
  },
});
