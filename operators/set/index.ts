import { defineVersions } from '../../core/define.ts'
import { setV1 } from './set.v1.ts'

export const set = defineVersions({ 1: setV1 }, { latest: 1 })
