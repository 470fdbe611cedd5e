import type { Readable } from 'node:stream'

const charactersMax = 8192

/** Reads what a process writes to its standard error and keeps the end of it; the answer reads what is kept. */
export function keepTail(stream: Readable | null): () => string {
  let tail = ''
  stream?.setEncoding('utf8')
  stream?.on('data', (text: string) => {
    tail = (tail + text).slice(-charactersMax)
  })
  stream?.on('error', () => undefined)
  return () => tail
}

/** Why a process ended, in one line: its code or signal, and the line that names the error where it left one. No stack. */
export function causeOf(code: number | null, signal: NodeJS.Signals | null, tail: string): string {
  const how = signal === null ? `its process ended with code ${code}` : `its process was ended by ${signal}`
  const lines = tail.split('\n').map((line) => line.trim())
  const named = lines.filter((line) => /^(\w*Error|FATAL ERROR)\b/.test(line)).at(-1)
  return named === undefined ? how : `${how} (${named.slice(0, 300)})`
}
