import { openAsBlob } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { MillraceServer } from '../server/create-server.ts'
import { createServer } from '../server/create-server.ts'
import type { Client } from './index.ts'
import { connect } from './index.ts'

let server: MillraceServer
let client: Client
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'upload-test-'))
  server = await createServer({ port: 0, temporaryDirectory: folder })
  client = connect(server.url)
  server.hub.route({ methods: ['POST'], path: '/in', body: 'bytes', bodyBytesMax: 1_000_000 }, ({ body }, reply) =>
    reply.send(200, { bytes: body instanceof Uint8Array ? body.byteLength : 0 }),
  )
})
afterEach(async () => {
  client.close()
  await server.close()
  await rm(folder, { recursive: true, force: true })
})

describe('an upload', () => {
  it('tells its progress, and gives the answer', async () => {
    const told: unknown[] = []
    const onProgress = (sent: number, total: number | null): number => told.push([sent, total])
    const answers: unknown[] = []
    for await (const each of client.upload('/in', new Blob(['hello']), { onProgress })) answers.push(each)
    expect([told, answers]).toStrictEqual([[[5, 5]], [{ bytes: 5 }]])
  })

  it('of a file that is gone says so, and does not blame the server', async () => {
    const path = join(folder, 'clip.mp4')
    await writeFile(path, 'x'.repeat(100_000))
    const file = await openAsBlob(path)
    await rm(path)
    const failed = { code: 'upload.unreadable', remedy: expect.stringContaining('Choose it again') }
    await expect(client.upload('/in', file).next()).rejects.toMatchObject(failed)
    await expect(client.upload('/in', file, { onProgress: () => {} }).next()).rejects.toMatchObject(failed)
    await server.close()
    await expect(client.upload('/in', new Blob(['x'])).next()).rejects.toMatchObject({ code: 'connection.lost' })
  })
})
