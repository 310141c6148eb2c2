import { defineConfig } from 'vitest/config';

/** Suites by layer. Those that start hubs run one file at a time on small machines: their leases are short. */
const suite = (name: string, include: string[]) => ({
  // On a busy machine a second, the default, is not long for a page to draw or a hub to start.
  test: {
    name,
    include,
    testTimeout: 20_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 10_000 } },
  },
});

export default defineConfig({
  test: {
    globalSetup: ['testing/harness/global_setup.ts'],
    projects: [
      suite('unit', [
        'core/**/*.test.ts',
        'testing/*.test.ts',
        'testing/debug_page/**/*.test.ts',
        'scripts/**/*.test.ts',
      ]),
      suite('setup', ['testing/setup/**/*.test.ts']),
      suite('store', ['testing/store/**/*.test.ts']),
      suite('hub', ['testing/protocol/**/*.test.ts', 'testing/hub/**/*.test.ts']),
      suite('faults', ['testing/faults/**/*.test.ts']),
      suite('browser', ['testing/browser/**/*.test.ts']),
    ].map(project => ({ ...project, extends: true as const })),
  },
});
