import { defineVersions } from '../../core/define.ts'
import { grpcCallV1 } from './grpc-call.v1.ts'
import { grpcConnectV1 } from './grpc-connect.v1.ts'
import { grpcSendV1 } from './grpc-send.v1.ts'

export const grpcCall = defineVersions({ 1: grpcCallV1 }, { latest: 1 })
export const grpcConnect = defineVersions({ 1: grpcConnectV1 }, { latest: 1 })
export const grpcSend = defineVersions({ 1: grpcSendV1 }, { latest: 1 })
