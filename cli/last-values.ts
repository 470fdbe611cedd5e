import { jsonText } from '../core/json/json-text.ts'
import type { Pipeline } from '../core/pipeline.ts'
import { standardStreams } from './standard-streams.ts'

const heldCharactersMax = 65_536

/** Prints as NDJSON what leaves a last node and would go nowhere. The answer writes what is still held, and waits until all was taken. */
export function printLastValues(pipeline: Pipeline): () => Promise<void> {
  let held = ''
  let printed = Promise.resolve()
  let asked = false
  const flush = (): void => {
    asked = false
    if (held === '') return
    const text = held
    held = ''
    // What could not be written is told by `outputEnded`.
    printed = standardStreams.write(text).catch(() => undefined)
  }
  const { nodes, edges } = pipeline.plan
  for (const node of nodes) {
    if (node.face.endsWith('trigger')) continue
    for (const port of node.outputs) {
      if (edges.some((edge) => edge.from === node.index && edge.fromPort === port)) continue
      pipeline.tap(node.id, port, (messages) => {
        for (const each of messages) held += `${jsonText(each.value) ?? 'null'}\n`
        if (held.length >= heldCharactersMax) flush()
        else if (!asked) {
          asked = true
          setImmediate(flush)
        }
      })
    }
  }
  return () => {
    flush()
    return printed
  }
}
