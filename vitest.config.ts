import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**', 'dist/**', 'bench/peers/**'],
    pool: 'forks',
    // By itself vitest leaves a core free, which of two is half: many of the files wait for servers most of the time.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    globalSetup: ['./test/services/shared.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: [
      process.env.CI === undefined ? 'default' : ['default', { summary: false }],
      './test/summary-reporter.ts',
    ],
  },
})
