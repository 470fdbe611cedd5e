import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { DecoderEnv } from './decoder.ts'
import { ownTimes, resolveDecoder } from './decoder.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-decoder-'))
  for (const [name, version] of [
    ['ffmpeg', '6.1.1-3ubuntu5'],
    ['other', 'n7.0.2'],
    ['nightly', 'N-118-gabc'],
  ] as const) {
    await writeFile(join(folder, name), `#!/bin/sh\necho "ffmpeg version ${version} Copyright (c) 2000-2024"\n`)
    await chmod(join(folder, name), 0o755)
  }
})
afterAll(() => rm(folder, { recursive: true, force: true }))

it('takes FFMPEG_PATH before PATH, and decodes in this process where there is neither', async () => {
  const both = { PATH: folder, FFMPEG_PATH: join(folder, 'other') }
  expect(await resolveDecoder(both)).toMatchObject({ kind: 'ffmpeg', version: '7.0.2', label: 'ffmpeg 7.0.2' })
  expect(await resolveDecoder({ PATH: `${folder}/nowhere:${folder}` })).toMatchObject({ label: 'ffmpeg 6.1.1' })
  const neither = await resolveDecoder({ PATH: '' })
  // Where ffmpeg-static is installed and its binary was fetched, that one is found.
  expect(['in-process', 'ffmpeg']).toContain(neither.kind)
})

it('does as MILLRACE_DECODER says', async () => {
  expect(await resolveDecoder({ PATH: folder, MILLRACE_DECODER: 'in-process' })).toEqual({
    kind: 'in-process',
    label: 'in-process',
  })
  expect(await resolveDecoder({ PATH: folder, MILLRACE_DECODER: 'ffmpeg' })).toMatchObject({ kind: 'ffmpeg' })
})

it('says what is wrong with a setting, without naming a path', async () => {
  const wrong: readonly DecoderEnv[] = [
    { FFMPEG_PATH: join(folder, 'absent') },
    { FFMPEG_PATH: folder, PATH: folder },
    { MILLRACE_DECODER: 'vlc' },
  ]
  for (const env of wrong) {
    const failure: unknown = await resolveDecoder(env).catch((thrown: unknown) => thrown)
    expect(failure).toMatchObject({ code: 'video.decoder-missing' })
    expect(String(failure)).not.toContain(folder)
  }
})

it('speaks to old and new versions in their own words', async () => {
  const options = async (env: DecoderEnv) => {
    const decoder = await resolveDecoder(env)
    return decoder.kind === 'ffmpeg' ? ownTimes(decoder)[0] : null
  }
  expect(await options({ FFMPEG_PATH: join(folder, 'nightly') })).toBe('-fps_mode')
  expect(ownTimes({ kind: 'ffmpeg', executable: '', version: '4.4.2', label: '' })[0]).toBe('-vsync')
  expect(ownTimes({ kind: 'ffmpeg', executable: '', version: '5.1.9', label: '' })[0]).toBe('-fps_mode')
})
