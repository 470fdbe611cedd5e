import { MessageChannel } from 'node:worker_threads'
import { expect, onTestFinished, test } from 'vitest'
import type { Handlers } from './peer.ts'
import { createPeer } from './peer.ts'

test('a small value that would be huge when written out crosses, and is looked at once', async () => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  const none: Handlers = { calls: {}, streams: {}, notices: {} }
  const here = createPeer(port1, none)
  createPeer(port2, { ...none, calls: { levels: async ([value]) => levelsOf(value) } })
  let value: unknown = 'a'
  for (let level = 0; level < 60; level++) value = [value, value]
  expect(await here.call('levels', [value])).toBe(60)
})

function levelsOf(value: unknown): number {
  return Array.isArray(value) ? 1 + levelsOf(value[0]) : 0
}
