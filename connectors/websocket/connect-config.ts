import { z } from 'zod'
import { clientFields } from './client-config.ts'
import { incomingFormats } from './incoming.ts'

/** What a WebSocket client that listens may be told. */
export const connectConfig = z.strictObject({
  ...clientFields,
  decode: z
    .enum(incomingFormats)
    .default('json')
    .describe('How messages are read; `auto` gives text as text and binary as bytes.'),
  idleMsMax: z
    .int()
    .min(0)
    .max(86_400_000)
    .default(0)
    .describe('A connection that has brought no message for so long is left for a new one; 0 for never.'),
  onClose: z
    .enum(['reconnect', 'end'])
    .default('reconnect')
    .describe('When the server closes with 1000, which stands for done: connect again, or end the execution.'),
  overflow: z
    .enum(['pause', 'drop-oldest', 'drop-newest'])
    .default('pause')
    .describe('When the flow is behind: read no more until there is room, which the server feels, or lose messages.'),
})

export type ConnectConfig = z.output<typeof connectConfig>
