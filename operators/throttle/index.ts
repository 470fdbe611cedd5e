import { defineVersions } from '../../core/define.ts'
import { throttleV1 } from './throttle.v1.ts'

export const throttle = defineVersions({ 1: throttleV1 }, { latest: 1 })
