import { defineVersions } from '../../core/define.ts'
import { mergeV1 } from './merge.v1.ts'

export const merge = defineVersions({ 1: mergeV1 }, { latest: 1 })
