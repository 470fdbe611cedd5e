import { z } from 'zod'
import type { WriteFailure } from '../../core/define.ts'
import { define, expression } from '../../core/define.ts'
import { failureOf, NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'

const topicPattern = /^[a-z0-9._/-]{1,200}$/

/** To whoever listens. */
export const topicPublishV1 = define({
  name: 'topic.publish',
  version: 1,
  summary: 'Publishes each message on a topic that browsers and programs subscribe to through the SDK.',
  notes:
    'A topic keeps its last messages with offsets, so a reader that reconnects goes on where it was. Publishing never waits for readers.',
  inputs: ['in'],
  outputs: [],
  config: z.strictObject({
    topic: expression(z.string().min(1).max(200)).describe(
      'For example `orders/{{ $json.region }}` or `thumbnails/{{ $execution.id }}`.',
    ),
    value: expression(z.json()).optional().describe('What is published; the whole value when left out.'),
  }),
  examples: [
    {
      title: 'One topic per execution',
      config: { topic: 'thumbnails/{{ $execution.id }}' },
      input: [{ index: 0 }],
      output: null,
    },
  ],
  face: {
    kind: 'sink',
    limits: () => ({ messagesMax: 256, waitMsMax: 0, timeoutMs: 30_000, concurrency: 1 }),
    make: (config, context) => {
      const { topics } = context.host
      if (topics === undefined)
        throw new NodeError(
          'topic.no-server',
          `${context.node} needs a server; start the workflow with \`millrace serve\``,
        )
      const topicOf = context.reader(config.topic)
      const readValue = context.readerOrValue(config.value)
      return {
        async write(messages, signal, scopes) {
          const failures: WriteFailure[] = []
          const byTopic = new Map<string, unknown[]>()
          messages.forEach((message: Message, index) => {
            try {
              const scope = scopes(index)
              const topic: unknown = topicOf(message, scope)
              if (typeof topic !== 'string' || !topicPattern.test(topic))
                throw new NodeError(
                  'topic.invalid',
                  `the topic is ${JSON.stringify(topic)}; use 1 to 200 of a-z 0-9 . _ / -`,
                )
              const value = readValue(message, scope)
              const values = byTopic.get(topic)
              if (values === undefined) byTopic.set(topic, [value])
              else values.push(value)
            } catch (thrown) {
              failures.push({ index, failure: failureOf(thrown, context.node) })
            }
          })
          for (const [topic, values] of byTopic) await topics.publish(topic, values, signal)
          return failures
        },
        close: async () => undefined,
      }
    },
  },
})
