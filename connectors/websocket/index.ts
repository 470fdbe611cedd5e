import { defineVersions } from '../../core/define.ts'
import { websocketCloseV1 } from './websocket-close.v1.ts'
import { websocketConnectV1 } from './websocket-connect.v1.ts'
import { websocketRoomsV1 } from './websocket-rooms.v1.ts'
import { websocketSendV1 } from './websocket-send.v1.ts'
import { websocketServeV1 } from './websocket-serve.v1.ts'
import { websocketWriteV1 } from './websocket-write.v1.ts'

export const websocketServe = defineVersions({ 1: websocketServeV1 }, { latest: 1 })
export const websocketSend = defineVersions({ 1: websocketSendV1 }, { latest: 1 })
export const websocketRooms = defineVersions({ 1: websocketRoomsV1 }, { latest: 1 })
export const websocketClose = defineVersions({ 1: websocketCloseV1 }, { latest: 1 })
export const websocketConnect = defineVersions({ 1: websocketConnectV1 }, { latest: 1 })
export const websocketWrite = defineVersions({ 1: websocketWriteV1 }, { latest: 1 })
