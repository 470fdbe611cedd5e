import { defineVersions } from '../../core/define.ts'
import { fileAppendV1 } from './file-append.v1.ts'
import { fileReadV1 } from './file-read.v1.ts'
import { fileWriteV1 } from './file-write.v1.ts'

export const fileAppend = defineVersions({ 1: fileAppendV1 }, { latest: 1 })
export const fileRead = defineVersions({ 1: fileReadV1 }, { latest: 1 })
export const fileWrite = defineVersions({ 1: fileWriteV1 }, { latest: 1 })
