import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { makeSample, sampleSeconds } from './makeSample.ts'
import { thumbnails } from './thumbnails.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-sample-test-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

it('makes a video with a keyframe each second, once, and leaves no draft', async () => {
  const options = { env: process.env, signal: new AbortController().signal, folder }
  const path = await makeSample(options)
  const made = await stat(path)
  expect(await makeSample(options)).toBe(path)
  expect((await stat(path)).mtimeMs).toBe(made.mtimeMs)
  expect(await readdir(folder)).toHaveLength(1)

  const context = {
    signal: options.signal,
    resumeAfter: 0,
    progress: () => undefined,
    log: () => undefined,
    own: () => undefined,
  }
  const sizes: number[] = []
  for await (const value of thumbnails({ path }, context, { MILLRACE_DECODER: 'in-process' })) {
    if (value.kind === 'video') expect(value).toMatchObject({ width: 1280, height: 720, keyframes: sampleSeconds })
    if (value.kind === 'thumbnail') sizes.push(value.data.length)
  }
  expect(new Set(sizes).size).toBeGreaterThan(sampleSeconds / 2)
})

it('stops when told to, and leaves nothing', async () => {
  const stopped = await mkdtemp(join(folder, 'stopped-'))
  const signal = AbortSignal.abort(new Error('not needed any more'))
  await expect(makeSample({ env: process.env, signal, folder: stopped })).rejects.toThrow('not needed any more')
  expect(await readdir(stopped)).toEqual([])
})

it('says where it cannot be written', async () => {
  const options = { env: process.env, signal: new AbortController().signal, folder: join(folder, 'not-there') }
  await expect(makeSample(options)).rejects.toMatchObject({
    code: 'video.sample-failed',
    message: expect.stringContaining('TMPDIR'),
  })
})
