import { defineVersions } from '../../core/define.ts'
import { kafkaConsumeV1 } from './kafka-consume.v1.ts'
import { kafkaProduceV1 } from './kafka-produce.v1.ts'

export const kafkaConsume = defineVersions({ 1: kafkaConsumeV1 }, { latest: 1 })
export const kafkaProduce = defineVersions({ 1: kafkaProduceV1 }, { latest: 1 })
