import { defineConfig } from 'vitest/config';

export default defineConfig({ test: { include: ['core/**/*.test.ts', 'testing/**/*.test.ts'], testTimeout: 20_000, hookTimeout: 60_000 } });
