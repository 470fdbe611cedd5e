import { randomBytes } from 'node:crypto'
import { link, mkdir, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { z } from 'zod'
import type { WriteFailure } from '../../core/define.ts'
import { define, expression } from '../../core/define.ts'
import { failureOf, NodeError } from '../../core/flow/failure.ts'
import { jsonOf } from '../../core/json/json-text.ts'
import { isPacked, looksPacked, pack } from './packed-file.ts'
import { codeOf, fileError, resolvePath } from './place.ts'

const filesAtOnceMax = 8

/** A file per message. */
export const fileWriteV1 = define({
  name: 'file.write',
  version: 1,
  summary: 'Writes each message to a file of its own; whoever reads it sees the old file or the whole new one.',
  notes:
    'The file is written under another name beside its place and then renamed. Of two messages for one path the later one wins. ' +
    'Bytes are written as they are, text as UTF-8, all else as JSON. A file whose name ends in `.gz` is packed, save bytes that are gzip already. Missing folders are made.',
  inputs: ['in'],
  outputs: [],
  outside: true,
  config: z.strictObject({
    path: expression(z.string().min(1).max(4096)).describe(
      'The file, in a folder that this host allows, for example `orders/{{ $json.id }}.json`.',
    ),
    value: expression(z.json()).optional().describe('What is written; the whole value when left out.'),
    ifExists: z.enum(['replace', 'fail']).default('replace').describe('What happens when the file is already there.'),
    durable: z
      .boolean()
      .default(false)
      .describe('Waits until the disk has each file, so that not even a power cut loses it.'),
  }),
  examples: [
    {
      title: 'A JSON file per order',
      config: { path: 'orders/{{ $json.id }}.json' },
      input: [{ id: 7, total: 12 }],
      output: null,
    },
  ],
  face: {
    kind: 'sink',
    limits: () => ({ messagesMax: 256, waitMsMax: 0, timeoutMs: 60_000, concurrency: 1 }),
    make: (config, context) => {
      const pathOf = context.reader(config.path)
      const read = context.readerOrValue(config.value)
      return {
        async write(messages, signal, scopeOf) {
          const failures: WriteFailure[] = []
          const fail = (index: number, thrown: unknown): void =>
            void failures.push({ index, failure: failureOf(thrown, context.node) })
          /** In the order of their messages, so that the last one for a path is what stays. */
          const byPath = new Map<string, { readonly index: number; readonly bytes: Uint8Array | string }[]>()
          messages.forEach((message, index) => {
            try {
              const scope = scopeOf(index)
              const path = resolvePath(context, pathOf(message, scope), 'write')
              const bytes = contentOf(read(message, scope))
              const known = byPath.get(path)
              if (known === undefined) byPath.set(path, [{ index, bytes }])
              else known.push({ index, bytes })
            } catch (thrown) {
              fail(index, thrown)
            }
          })
          const waiting = [...byPath]
          const worker = async (): Promise<void> => {
            for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
              const [path, files] = next
              for (const { index, bytes } of files) {
                signal.throwIfAborted()
                await writeWhole(path, bytes, config).catch((thrown: unknown) => fail(index, thrown))
              }
            }
          }
          await Promise.all(Array.from({ length: Math.min(filesAtOnceMax, waiting.length) }, worker))
          return failures
        },
        close: async () => undefined,
      }
    },
  },
})

async function writeWhole(
  path: string,
  content: Uint8Array | string,
  options: { readonly durable: boolean; readonly ifExists: 'replace' | 'fail' },
): Promise<void> {
  const folder = dirname(path)
  const unfinished = join(folder, `.${basename(path).slice(0, 100)}.${randomBytes(6).toString('hex')}.unfinished`)
  try {
    await mkdir(folder, { recursive: true })
    const handle = await open(unfinished, 'wx')
    try {
      await handle.writeFile(isPacked(path) && !isGzip(content) ? await pack(content) : content)
      if (options.durable) await handle.sync()
    } finally {
      await handle.close()
    }
    if (options.ifExists === 'fail') await placeNew(unfinished, path)
    else await rename(unfinished, path)
  } catch (thrown) {
    await rm(unfinished, { force: true }).catch(() => undefined)
    throw fileError(thrown, 'write', path)
  }
}

/** A link fails where a name is taken, which a rename does not. */
async function placeNew(unfinished: string, path: string): Promise<void> {
  try {
    await link(unfinished, path)
  } catch (thrown) {
    if (codeOf(thrown) !== 'EEXIST') throw thrown
    throw new NodeError('file.exists', `cannot write ${path}: it is already there; use \`ifExists: replace\``)
  }
  await rm(unfinished, { force: true })
}

function isGzip(content: Uint8Array | string): boolean {
  return typeof content !== 'string' && looksPacked(content)
}

function contentOf(value: unknown): Uint8Array | string {
  if (value instanceof Uint8Array || typeof value === 'string') return value
  return jsonOf(value)
}
