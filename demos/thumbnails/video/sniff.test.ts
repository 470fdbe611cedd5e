import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { NodeError } from '../../../core/flow/failure.ts'
import { sniff } from './sniff.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-sniff-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The container, or the code of the error. An error that says nothing to a user is no answer. */
async function answerOf(bytes: Uint8Array): Promise<string> {
  const path = join(folder, 'file')
  await writeFile(path, bytes)
  try {
    return (await sniff(path)).container
  } catch (thrown) {
    if (thrown instanceof NodeError) return thrown.code
    throw thrown
  }
}

const beginnings = {
  MP4: Buffer.concat([Buffer.from([0, 0, 0, 24]), Buffer.from('ftypisom'), Buffer.alloc(12)]),
  Matroska: Buffer.from(
    '1a45dfa3934286810142f7810142f2810442f381084282886d6174726f736b61185380670100000000000064',
    'hex',
  ),
  AVI: Buffer.concat([Buffer.from('RIFF'), Buffer.from([9, 0, 0, 0]), Buffer.from('AVI LIST')]),
  FLV: Buffer.from('FLV\u0001\u0005'),
  GIF: Buffer.from('GIF89a'),
}

it.each(Object.entries(beginnings))('knows %s, and answers each of its first bytes', async (container, bytes) => {
  expect(await answerOf(bytes)).toBe(container)
  for (let length = 0; length < bytes.length; length++)
    expect(await answerOf(bytes.subarray(0, length))).toMatch(length === 0 ? /^video.empty$/ : /^video\.|^[A-Z]/)
})

it('tells sound by a frame of MP3, and not by one byte of it', async () => {
  expect(await answerOf(Buffer.from([0xff, 0xfb, 0x90]))).toBe('video.no-video-stream')
  expect(await answerOf(Buffer.from([0xff, 0xf6]))).toBe('video.not-a-video')
  expect(await answerOf(Buffer.from([0xff]))).toBe('video.not-a-video')
})

it('answers any bytes', async () => {
  const start = fc.constantFrom(Buffer.alloc(0), ...Object.values(beginnings))
  const bytes = fc.tuple(start, fc.uint8Array({ minLength: 1, maxLength: 64 })).map((parts) => Buffer.concat(parts))
  await fc.assert(
    fc.asyncProperty(bytes, async (each) => {
      expect(await answerOf(each)).toMatch(/^video\.|^[A-Z]/)
    }),
  )
})
