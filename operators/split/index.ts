import { defineVersions } from '../../core/define.ts'
import { splitV1 } from './split.v1.ts'

export const split = defineVersions({ 1: splitV1 }, { latest: 1 })
