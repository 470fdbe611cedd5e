import { defineVersions } from '../../core/define.ts'
import { callV1 } from './call.v1.ts'

export const call = defineVersions({ 1: callV1 }, { latest: 1 })
