import { statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Which of some programs are not in the PATH. */
export function missingPrograms(programs: readonly string[]): readonly string[] {
  const folders = (process.env.PATH ?? '').split(delimiter)
  const isThere = (program: string): boolean =>
    folders.some((each) => statSync(join(each, program), { throwIfNoEntry: false })?.isFile() === true)
  return programs.filter((each) => !isThere(each))
}
