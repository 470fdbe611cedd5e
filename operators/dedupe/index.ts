import { defineVersions } from '../../core/define.ts'
import { dedupeV1 } from './dedupe.v1.ts'

export const dedupe = defineVersions({ 1: dedupeV1 }, { latest: 1 })
