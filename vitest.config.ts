import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**', 'dist/**', 'bench/peers/**'],
    pool: 'forks',
    globalSetup: ['./test/services/shared.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: [
      process.env.CI === undefined ? 'default' : ['default', { summary: false }],
      './test/summary-reporter.ts',
    ],
  },
})
