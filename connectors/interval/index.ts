import { defineVersions } from '../../core/define.ts'
import { intervalV1 } from './interval.v1.ts'

export const interval = defineVersions({ 1: intervalV1 }, { latest: 1 })
