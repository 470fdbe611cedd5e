import { z } from 'zod'
import type { WriteFailure } from '../../core/define.ts'
import { constant, define, expression } from '../../core/define.ts'
import { failureOf, NodeError } from '../../core/flow/failure.ts'
import { Connection } from './connection.ts'
import { serversOf } from './connections.ts'
import { checkTargets, targetFields, targetFinder } from './targets.ts'

/** The end of a conversation. */
export const websocketCloseV1 = define({
  name: 'websocket.close',
  version: 1,
  summary: 'Closes connections of a WebSocket server.',
  notes:
    'Without `to`, `room` and `all` the connection is meant that the message came from. What was sent before arrives first. One that is closed already is left alone.',
  inputs: ['in'],
  outputs: [],
  outside: true,
  config: z.strictObject({
    ...targetFields,
    code: expression(z.int().min(1_000).max(4_999))
      .default(constant(1_000))
      .describe(
        '1000 for done, 1001 for going away, 1008 for a breach of the rules, 1011 for a failure of ours, 1013 for try again later, 4000 to 4999 as you like.',
      ),
    reason: expression(z.string().max(123)).default(constant('')).describe('A few words, 123 bytes at most.'),
  }),
  check: checkTargets,
  examples: [
    {
      title: 'Send away who is not polite',
      config: { code: 4001, reason: 'be polite' },
      input: [{ text: 'something rude' }],
      output: null,
    },
  ],
  face: {
    kind: 'sink',
    limits: () => ({ messagesMax: 256, waitMsMax: 0, timeoutMs: 30_000, concurrency: 1 }),
    make: (config, context) => {
      const servers = serversOf(context)
      const find = targetFinder(config, context)
      const readCode = context.reader(config.code)
      const readReason = context.reader(config.reason)
      return {
        async write(messages, _signal, scopeOf) {
          const failures: WriteFailure[] = []
          const connections = servers.find(config.server, context.node)
          messages.forEach((message, index) => {
            try {
              const scope = scopeOf(index)
              const code = checkCode(readCode(message, scope))
              const reason = cut(String(readReason(message, scope)))
              const targets = find(message, scope, connections, () => undefined)
              if (targets instanceof Connection) targets.close(code, reason)
              else for (const each of [...targets]) each.close(code, reason)
            } catch (thrown) {
              failures.push({ index, failure: failureOf(thrown, context.node) })
            }
          })
          return failures
        },
        close: async () => undefined,
      }
    },
  },
})

/** Codes that an endpoint may send (RFC 6455 §7.4). An expression may give anything. */
function checkCode(code: unknown): number {
  if (typeof code === 'number' && Number.isInteger(code)) {
    if (code >= 3_000 && code <= 4_999) return code
    if (code >= 1_000 && code <= 1_014 && ![1_004, 1_005, 1_006].includes(code)) return code
  }
  throw new NodeError(
    'websocket.bad-code',
    `a connection cannot be closed with ${JSON.stringify(code)?.slice(0, 40)}; use 1000, 1001, 1008, 1011, 1013 or 3000 to 4999`,
  )
}

/** A reason has 123 bytes at most, and is not cut inside of a character. */
function cut(reason: string): string {
  const bytes = Buffer.from(reason)
  if (bytes.byteLength <= 123) return reason
  return bytes.toString('utf8', 0, 123).replace(/\uFFFD+$/, '')
}
