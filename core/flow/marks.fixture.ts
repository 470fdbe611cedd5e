import { z } from 'zod'
import type { AnyDefinition, Source } from '../define.ts'
import { define } from '../define.ts'
import type { PassingMark } from './batch.ts'
import { wait } from './deadline.ts'
import { edge } from './edge.ts'
import { failureOf } from './failure.ts'
import type { Message } from './message.ts'
import { message, withValue } from './message.ts'
import { createPump } from './pump.ts'

/** What a source of the test does, one step after the other: a batch of so many messages, or a mark. */
export type Act = { readonly messages: number } | { readonly epoch: number } | { readonly time: number }

/** What a message of the test carries: who sent it, its number, and how many epochs its source had told before it. */
export interface Sent {
  readonly n: number
  readonly from: string
  readonly epoch: number
}

/** What a reader saw, in order: messages by their epoch and time, and marks. */
export type Seen =
  | { readonly kind: 'message'; readonly sent: readonly Sent[]; readonly time: number }
  | { readonly kind: 'epoch'; readonly epoch: number }
  | { readonly kind: 'time'; readonly watermark: number }
  | { readonly kind: 'end' }

export interface MarkLog {
  readonly seen: Map<string, Seen[]>
  /** By source: the marks that it was told of, with a failure's code where there was one. */
  readonly marked: Map<string, string[]>
}

/** Nodes that send, delay and read marks. */
export function markNodes(log: MarkLog): readonly AnyDefinition[] {
  const note = (name: string, each: Seen): void => void log.seen.set(name, [...(log.seen.get(name) ?? []), each])

  const source = define({
    name: 'marks.source',
    version: 1,
    summary: 'Gives batches and marks as the test says.',
    inputs: [],
    outputs: ['out'],
    config: z.strictObject({ name: z.string(), acts: z.array(z.record(z.string(), z.number())) }),
    examples: [],
    face: {
      kind: 'stream-trigger',
      pausable: true,
      open: async (config, context): Promise<Source> => {
        let at = 0
        let n = 0
        let left = 0
        let epoch = 0
        const step = (): 'emitted' | 'full' | 'done' => {
          const act = config.acts[at]
          if (act === undefined) return 'done'
          if (act.messages === undefined) {
            at += 1
            if (act.epoch !== undefined) epoch = act.epoch
            context.mark(
              act.epoch === undefined
                ? { kind: 'time', watermark: act.time ?? 0 }
                : { kind: 'epoch', epoch: act.epoch },
            )
            return 'emitted'
          }
          if (left === 0) left = act.messages
          const count = Math.min(left, context.gate.batchMax.messages)
          const size = { messages: count, bytes: 0 }
          if (!context.gate.take(size)) return 'full'
          const messages = Array.from({ length: count }, () => {
            n += 1
            return message({ n, from: config.name, epoch } satisfies Sent, n % 3 === 0 ? 'k' : `k${n % 2}`, n)
          })
          left -= count
          if (left === 0) at += 1
          context.emit(0, messages, context.streamScope, n, size)
          return 'emitted'
        }
        const pump = createPump(context.host.clock, context.gate, step, context.complete, (thrown) =>
          context.fail(failureOf(thrown, context.node)),
        )
        pump.wake()
        return {
          pause: pump.pause,
          resume: pump.resume,
          close: async () => pump.close(),
          marked: (mark, failure) => {
            const told = failure === null ? nameOf(mark) : `${nameOf(mark)} ${failure.code}`
            log.marked.set(config.name, [...(log.marked.get(config.name) ?? []), told])
          },
        }
      },
    },
  })

  const reader = define({
    name: 'marks.reader',
    version: 1,
    summary: 'Notes what arrives, marks too.',
    inputs: ['in'],
    outputs: [],
    config: z.strictObject({ as: z.string() }),
    examples: [],
    face: {
      kind: 'stream',
      make:
        (config) =>
        ([input]) => {
          if (input !== undefined)
            edge(input, ({ messages, receipt, mark }) => {
              for (const each of messages)
                note(config.as, { kind: 'message', sent: sentIn(each.value), time: each.time })
              if (mark !== null) note(config.as, mark)
              receipt.settle()
            })
          return []
        },
    },
  })

  const work = define({
    name: 'marks.async',
    version: 1,
    summary: 'Passes each message on after a while of its own.',
    inputs: ['in'],
    outputs: ['out'],
    config: z.strictObject({ order: z.enum(['input', 'none', 'key']), salt: z.int() }),
    examples: [],
    face: {
      kind: 'async',
      limits: (config) => ({ concurrency: 3, order: config.order, timeoutMs: 10_000 }),
      make: (config, context) => async (each, signal) => {
        await wait(context.host.clock, delayOf(each, config.salt), [signal])
        return each
      },
    },
  })

  const twice = define({
    name: 'marks.expand',
    version: 1,
    summary: 'Gives each message twice, with a while before each.',
    inputs: ['in'],
    outputs: ['out'],
    config: z.strictObject({ salt: z.int() }),
    examples: [],
    face: {
      kind: 'expand',
      limits: () => ({ concurrency: 3, timeoutMs: 10_000, inFlightMax: 2 }),
      make: (config, context) =>
        async function* (each, signal) {
          for (let time = 0; time < 2; time++) {
            await wait(context.host.clock, delayOf(each, config.salt + time), [signal])
            yield withValue(each, each.value)
          }
        },
    },
  })

  const writer = define({
    name: 'marks.sink',
    version: 1,
    summary: 'Notes what it has written, after a while; its marks leave by the error port.',
    inputs: ['in'],
    outputs: [],
    config: z.strictObject({ as: z.string(), salt: z.int(), waitMsMax: z.int(), concurrency: z.int() }),
    examples: [],
    face: {
      kind: 'sink',
      limits: ({ waitMsMax, concurrency }) => ({ messagesMax: 4, waitMsMax, concurrency, timeoutMs: 10_000 }),
      make: (config, context) => ({
        write: async (messages, signal) => {
          const [first] = messages
          if (first !== undefined) await wait(context.host.clock, delayOf(first, config.salt), [signal])
          for (const each of messages) note(config.as, { kind: 'message', sent: sentIn(each.value), time: each.time })
          return []
        },
        close: async () => undefined,
      }),
    },
  })
  return [source, reader, work, twice, writer]
}

export function nameOf(mark: PassingMark): string {
  return mark.kind === 'epoch' ? `epoch ${mark.epoch}` : `time ${mark.watermark}`
}

/** The messages of the source that a value was made of: itself, or the elements of an aggregate's list. */
function sentIn(value: unknown): readonly Sent[] {
  if (Array.isArray(value)) return value.flatMap(sentIn)
  if (typeof value !== 'object' || value === null) return []
  const { n, from, epoch } = value as Partial<Sent>
  return n === undefined || from === undefined || epoch === undefined ? [] : [{ n, from, epoch }]
}

function delayOf(each: Message, salt: number): number {
  return ((each.time + salt) * 7) % 11
}
