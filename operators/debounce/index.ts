import { defineVersions } from '../../core/define.ts'
import { debounceV1 } from './debounce.v1.ts'

export const debounce = defineVersions({ 1: debounceV1 }, { latest: 1 })
