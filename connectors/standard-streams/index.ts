import { defineVersions } from '../../core/define.ts'
import { stdinV1 } from './stdin.v1.ts'
import { stdoutV1 } from './stdout.v1.ts'

export const stdin = defineVersions({ 1: stdinV1 }, { latest: 1 })
export const stdout = defineVersions({ 1: stdoutV1 }, { latest: 1 })
