import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { createFiles } from '../../server/files.ts'
import { realFlow } from '../../test/real-flow.ts'

/** What happens just before somebody asks which file has a name now. */
let beforeNamed: () => Promise<void> = async () => undefined

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>()
  return {
    ...real,
    stat: async (...asked: Parameters<typeof real.stat>) => {
      const before = beforeNamed
      beforeNamed = async () => undefined
      await before()
      return real.stat(...asked)
    },
  }
})

test('what is written to a file just before it is replaced is read', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-follow-'))
  const path = join(folder, 'app.log')
  await writeFile(path, 'one\n')
  beforeNamed = async () => {
    await appendFile(path, 'two\n')
    await rename(path, `${path}.1`)
    await writeFile(path, 'three\n')
  }
  const run = await realFlow(
    {
      millrace: 1,
      name: 'follow',
      nodes: {
        in: { type: 'file.read@1', config: { path, format: 'lines', follow: true, pollMs: 10 } },
        out: { type: 'test.keep@1' },
      },
      edges: ['in -> out'],
    },
    { host: { files: createFiles({ allowed: [folder] }) } },
  )
  try {
    await run.keptCount(3)
    await run.execution.stop()
    await run.finish()
    expect(run.kept).toEqual(['one', 'two', 'three'])
  } finally {
    await rm(folder, { recursive: true })
  }
})
