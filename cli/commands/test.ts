import { isDeepStrictEqual, styleText } from 'node:util'
import { runDocumentTest } from '../document-test.ts'
import { loadOrSay } from '../load.ts'

/** `millrace test`: a document's own test cases, on virtual time. Exit code 1 when one fails, 2 when a document is wrong. */
export async function test(files: readonly string[]): Promise<void> {
  let passed = 0
  let failed = 0
  for (const file of files) {
    const loaded = loadOrSay(file)
    if (loaded === null) continue
    if (loaded.document.tests.length === 0)
      console.log(`${file}: no tests; add some under \`tests:\`, see docs/document-format.md`)
    for (const each of loaded.document.tests) {
      const differences: string[] = []
      const begin = performance.now()
      try {
        const got = await runDocumentTest(loaded, each)
        for (const [port, wanted] of Object.entries(each.expect))
          if (!isDeepStrictEqual(got[port] ?? [], [...wanted]))
            differences.push(
              `  ${port}\n    wanted ${JSON.stringify(wanted)}\n    got    ${JSON.stringify(got[port] ?? [])}`,
            )
      } catch (thrown) {
        differences.push(`  ${thrown instanceof Error ? thrown.message : String(thrown)}`)
      }
      if (differences.length === 0) passed += 1
      else failed += 1
      console.log(
        `${differences.length === 0 ? styleText('green', '✓') : styleText('red', '✗')} ${file}: ${each.name} (${Math.round(performance.now() - begin)} ms)`,
      )
      for (const line of differences) console.log(line)
    }
  }
  console.log(`\n${passed} passed, ${failed} failed`)
  if (failed > 0) process.exitCode ??= 1
}
