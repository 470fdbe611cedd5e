import { defineVersions } from '../../core/define.ts'
import { httpRequestV1 } from './http-request.v1.ts'

export const httpRequest = defineVersions({ 1: httpRequestV1 }, { latest: 1 })
