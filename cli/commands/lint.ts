import { load, problemLine } from '../load.ts'

/** `millrace lint`: all problems of all documents. Exit code 2 when one cannot run. */
export function lint(files: readonly string[], options: { readonly json?: boolean }): void {
  for (const file of files) {
    const result = load(file)
    if (!result.ok) process.exitCode = 2
    const problems = result.ok ? result.value.warnings : result.problems
    if (options.json === true) console.log(JSON.stringify({ file, ok: result.ok, problems }))
    else if (problems.length === 0) console.log(`${file}: no problems`)
    else for (const each of problems) console.log(problemLine(file, each))
  }
}
