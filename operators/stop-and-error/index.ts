import { defineVersions } from '../../core/define.ts'
import { stopAndErrorV1 } from './stop-and-error.v1.ts'

export const stopAndError = defineVersions({ 1: stopAndErrorV1 }, { latest: 1 })
