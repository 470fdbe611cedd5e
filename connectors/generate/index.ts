import { defineVersions } from '../../core/define.ts'
import { generateV1 } from './generate.v1.ts'

export const generate = defineVersions({ 1: generateV1 }, { latest: 1 })
