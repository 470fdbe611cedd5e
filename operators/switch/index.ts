import { defineVersions } from '../../core/define.ts'
import { switchV1 } from './switch.v1.ts'

export const switchNode = defineVersions({ 1: switchV1 }, { latest: 1 })
