import { defineVersions } from '../../core/define.ts'
import { clickhouseInsertV1 } from './clickhouse-insert.v1.ts'
import { clickhouseQueryV1 } from './clickhouse-query.v1.ts'

export const clickhouseInsert = defineVersions({ 1: clickhouseInsertV1 }, { latest: 1 })
export const clickhouseQuery = defineVersions({ 1: clickhouseQueryV1 }, { latest: 1 })
