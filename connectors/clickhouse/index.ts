import { defineVersions } from '../../core/define.ts'
import { clickhouseInsertV1 } from './clickhouse-insert.v1.ts'
import { clickhousePollV1 } from './clickhouse-poll.v1.ts'
import { clickhouseQueryV1 } from './clickhouse-query.v1.ts'

export const clickhouseInsert = defineVersions({ 1: clickhouseInsertV1 }, { latest: 1 })
export const clickhousePoll = defineVersions({ 1: clickhousePollV1 }, { latest: 1 })
export const clickhouseQuery = defineVersions({ 1: clickhouseQueryV1 }, { latest: 1 })
