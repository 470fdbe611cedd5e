import type { Reporter, SerializedError, TestModule } from 'vitest/node'

/** Ends the output with one plain line that any reader of logs understands: `12 passed, 0 failed, 1 skipped`. */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    let passed = 0
    // What broke outside of a test counts as a failure too: it may have hidden one.
    let failed = unhandled.length
    let skipped = 0
    for (const module of modules) {
      if (module.errors().length > 0) failed += 1
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') passed += 1
        else if (state === 'failed') failed += 1
        else skipped += 1
      }
    }
    process.on('exit', () => console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`))
  }
}
