import { defineVersions } from '../../core/define.ts'
import { clickhouseInsertV1 } from './clickhouse-insert.v1.ts'

export const clickhouseInsert = defineVersions({ 1: clickhouseInsertV1 }, { latest: 1 })
