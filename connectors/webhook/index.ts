import { defineVersions } from '../../core/define.ts'
import { respondV1 } from './respond.v1.ts'
import { webhookV1 } from './webhook.v1.ts'

export const webhook = defineVersions({ 1: webhookV1 }, { latest: 1 })
export const respond = defineVersions({ 1: respondV1 }, { latest: 1 })
