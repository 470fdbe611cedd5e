import { defineVersions } from '../../core/define.ts'
import { manualV1 } from './manual.v1.ts'

export const manual = defineVersions({ 1: manualV1 }, { latest: 1 })
