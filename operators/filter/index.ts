import { defineVersions } from '../../core/define.ts'
import { filterV1 } from './filter.v1.ts'

export const filter = defineVersions({ 1: filterV1 }, { latest: 1 })
