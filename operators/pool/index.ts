import { defineVersions } from '../../core/define.ts'
import { poolV1 } from './pool.v1.ts'

export const pool = defineVersions({ 1: poolV1 }, { latest: 1 })
