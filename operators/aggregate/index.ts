import { defineVersions } from '../../core/define.ts'
import { aggregateV1 } from './aggregate.v1.ts'

export const aggregate = defineVersions({ 1: aggregateV1 }, { latest: 1 })
