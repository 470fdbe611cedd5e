import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Files } from '../core/host.ts'
import { createFiles } from './files.ts'

let folder: string
let files: Files

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'files-test-')))
  await mkdir(join(folder, 'data'))
  await mkdir(join(folder, 'data-other'))
  await writeFile(join(folder, 'data', 'in.csv'), 'a')
  await writeFile(join(folder, 'secret'), 's')
  await symlink(join(folder, 'secret'), join(folder, 'data', 'link'))
  await symlink(join(folder, 'not-there-yet'), join(folder, 'data', 'dangling'))
  await symlink(join(folder, 'data', 'ring'), join(folder, 'data', 'ring'))
  await symlink(folder, join(folder, 'data', 'up'))
  await symlink(join(folder, 'data', 'in.csv'), join(folder, 'data', 'inner'))
  files = createFiles({ allowed: [join(folder, 'data')] })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('files', () => {
  it('resolves what lies in an allowed folder, also what is not there yet', () => {
    expect(files.resolve('in.csv', 'read')).toBe(join(folder, 'data', 'in.csv'))
    expect(files.resolve(join(folder, 'data', 'in.csv'), 'read')).toBe(join(folder, 'data', 'in.csv'))
    expect(files.resolve('new/deep/out.ndjson', 'write')).toBe(join(folder, 'data', 'new', 'deep', 'out.ndjson'))
    expect(files.resolve('inner', 'read')).toBe(join(folder, 'data', 'in.csv'))
    expect(files.resolve('..data', 'write')).toBe(join(folder, 'data', '..data'))
  })

  it.each(['../secret', 'link', 'up/secret', 'up/new', '../data-other/x', '/etc/passwd', 'new/../../secret'])(
    'refuses %s',
    (path) => {
      expect(() => files.resolve(path, 'read')).toThrow(expect.objectContaining({ code: 'file.not-allowed' }))
    },
  )

  it.each([
    ['dangling', 'it leads to what is not there'],
    ['ring', 'its links lead in a circle'],
    ['in.csv/x', 'a part of it is not a folder'],
  ])('refuses %s and says why', (path, why) => {
    expect(() => files.resolve(path, 'write')).toThrow(
      expect.objectContaining({
        code: 'file.unreachable',
        message: expect.stringContaining(`cannot be reached: ${why}.`),
      }),
    )
  })

  it('refuses a zero byte', () => {
    expect(() => files.resolve('a\0b', 'read')).toThrow(expect.objectContaining({ code: 'file.bad-path' }))
  })

  it('allows nothing when nothing is allowed', () => {
    expect(() => createFiles({ allowed: [] }).resolve('x', 'read')).toThrow(
      expect.objectContaining({ code: 'file.not-allowed' }),
    )
  })
})
