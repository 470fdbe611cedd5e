import { createReadStream, existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { z } from 'zod'
import type { KeptLetter } from '../core/define.ts'
import { UsageError } from './usage-error.ts'

const letterSchema = z.object({
  workflow: z.string(),
  failure: z.object({ code: z.string(), message: z.string(), node: z.string().nullable() }),
  value: z.unknown(),
  key: z.unknown(),
  time: z.number(),
})

export type FileLetter = z.infer<typeof letterSchema>

/** The letters of a file that `--dead-letter` wrote. Throws a UsageError that names the line that is none. */
export async function* lettersIn(path: string): AsyncGenerator<FileLetter> {
  if (!existsSync(path)) throw new UsageError(`--file names ${path}, but there is no such file`)
  let number = 0
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
    number += 1
    if (line.trim() === '') continue
    yield letterOf(line, `line ${number} of ${path}`)
  }
}

/** The same, as those of a trigger's own place are shown. */
export function keptLetter({ failure, value, key, time }: FileLetter): KeptLetter {
  const { code, message, node } = failure
  const bytes = (of: unknown): Uint8Array => Buffer.from(typeof of === 'string' ? of : (JSON.stringify(of) ?? 'null'))
  return { time, node, code, message, origin: null, key: key === null ? null : bytes(key), value: bytes(value) }
}

function letterOf(line: string, where: string): FileLetter {
  let raw: unknown
  try {
    raw = JSON.parse(line)
  } catch {
    throw new UsageError(`${where} is not JSON; the file must be one that --dead-letter wrote`)
  }
  const parsed = letterSchema.safeParse(raw)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new UsageError(`${where} is no dead letter: ${issue?.path.join('.')}: ${issue?.message}`)
}
