import { defineVersions } from '../../core/define.ts'
import { delayV1 } from './delay.v1.ts'

export const delay = defineVersions({ 1: delayV1 }, { latest: 1 })
