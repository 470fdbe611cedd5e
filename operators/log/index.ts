import { defineVersions } from '../../core/define.ts'
import { logV1 } from './log.v1.ts'

export const log = defineVersions({ 1: logV1 }, { latest: 1 })
