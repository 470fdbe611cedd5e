import type { Page } from 'playwright-core'
import { decodeFrame } from '../../core/protocol/frame.ts'

const frameBytesMax = 16 * 1024 * 1024

/** What goes over a page's WebSockets, read from the outside: which topics it asks for, and what the server sends of them. */
export class FrameLog {
  #topics = new Map<number, string>()
  #open = new Set<number>()
  #messages = new Map<string, number>()

  constructor(page: Page) {
    page.on('websocket', (socket) => {
      this.#topics = new Map()
      this.#open = new Set()
      socket.on('framesent', ({ payload }) => this.#sent(payload))
      socket.on('framereceived', ({ payload }) => this.#received(payload))
    })
  }

  /** Topics that begin so and are being read, or of which something came since `forget`. */
  topics(prefix: string): readonly string[] {
    const open = [...this.#open].map((id) => this.#topics.get(id) ?? '')
    return [...new Set([...open, ...this.#messages.keys()])].filter((topic) => topic.startsWith(prefix))
  }

  /** Messages of a topic that the server has sent since `forget`. */
  messages(topic: string): number {
    return this.#messages.get(topic) ?? 0
  }

  forget(): void {
    this.#messages = new Map()
  }

  #sent(payload: string | Buffer): void {
    const header = headerOf(payload)
    if (typeof header.id !== 'number') return
    if (header.kind === 'subscribe') {
      this.#topics.set(header.id, String(header.topic))
      this.#open.add(header.id)
    } else if (header.kind === 'unsubscribe') this.#open.delete(header.id)
  }

  #received(payload: string | Buffer): void {
    const header = headerOf(payload)
    if (header.kind !== 'messages' || typeof header.id !== 'number') return
    const topic = this.#topics.get(header.id) ?? ''
    const values = Array.isArray(header.values) ? header.values.length : 0
    this.#messages.set(topic, this.messages(topic) + values)
  }
}

function headerOf(payload: string | Buffer): Readonly<Record<string, unknown>> {
  if (typeof payload === 'string') return {}
  const header = decodeFrame(payload, frameBytesMax)
  return header.ok ? header.value : {}
}
