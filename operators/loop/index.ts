import { defineVersions } from '../../core/define.ts'
import { loopV1 } from './loop.v1.ts'

export const loop = defineVersions({ 1: loopV1 }, { latest: 1 })
