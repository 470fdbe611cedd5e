import { createHash } from 'node:crypto'
import type { Message } from '../../core/flow/message.ts'

/** A message's row as text, and where the message stands in the write that it came with. */
export interface Row {
  readonly index: number
  readonly message: Message
  readonly text: string
}

/** Rows that go to the server in one request. Repeated, it is the same to the byte, and so is its token. */
export interface Insert {
  readonly messages: readonly Message[]
  readonly texts: readonly string[]
  readonly body: Buffer
  readonly token: string
}

export function insertOf(rows: readonly Row[]): Insert {
  const messages = rows.map((row) => row.message)
  const texts = rows.map((row) => row.text)
  const body = Buffer.from(`${texts.join('\n')}\n`)
  return { messages, texts, body, token: tokenOf(messages, body) }
}

/**
 * The name by which a server knows an insert again: a hash of the rows as they are sent and of each message's key and time. The rows make it
 * the same for a batch that is sent again, by whoever; key and time tell apart two batches that hold equal rows and are both meant.
 */
function tokenOf(messages: readonly Message[], body: Buffer): string {
  const hash = createHash('sha256').update(body)
  const times = new Float64Array(messages.length)
  for (let i = 0; i < messages.length; i++) times[i] = messages[i]?.time ?? 0
  hash.update(new Uint8Array(times.buffer))
  for (const { key } of messages) if (key !== null) hash.update(`${key.length} `).update(key)
  return hash.digest('hex').slice(0, 32)
}

/** Cuts rows into runs of at most so many bytes each. No row may be larger. */
export function cutByBytes(rows: readonly Row[], bytesMax: number): readonly (readonly Row[])[] {
  // A character takes three bytes at most: mostly that is enough to know that nothing must be cut.
  const charactersMax = bytesMax / 3
  let characters = 0
  for (const row of rows) characters += row.text.length + 1
  if (characters <= charactersMax) return rows.length === 0 ? [] : [rows]
  const runs: Row[][] = []
  let run: Row[] = []
  let bytes = 0
  for (const row of rows) {
    const rowBytes = Buffer.byteLength(row.text) + 1
    if (run.length > 0 && bytes + rowBytes > bytesMax) {
      runs.push(run)
      run = []
      bytes = 0
    }
    run.push(row)
    bytes += rowBytes
  }
  if (run.length > 0) runs.push(run)
  return runs
}
