import { defineVersions } from '../../core/define.ts'
import { topicPublishV1 } from './topic-publish.v1.ts'

export const topicPublish = defineVersions({ 1: topicPublishV1 }, { latest: 1 })
