import { defineVersions } from '../../core/define.ts'
import { summarizeV1 } from './summarize.v1.ts'

export const summarize = defineVersions({ 1: summarizeV1 }, { latest: 1 })
