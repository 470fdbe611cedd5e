import { NodeError } from '../../core/flow/failure.ts'
import { jsonText } from '../../core/json/json-text.ts'

/** How values become messages: `auto` sends text as text, bytes as binary, and everything else as JSON. */
export const outgoingFormats = ['auto', 'json', 'text', 'bytes'] as const
export type OutgoingFormat = (typeof outgoingFormats)[number]

const textOpcode = 0x81
const binaryOpcode = 0x82

/**
 * A message on its way out: one whole frame as a server sends it (RFC 6455 §5.2: FIN, no mask), made once for any number of sockets.
 */
export class Outgoing {
  readonly binary: boolean
  readonly frame: Buffer
  readonly #headBytes: number
  #payload: Uint8Array | null = null

  constructor(payload: string | Uint8Array) {
    this.binary = typeof payload !== 'string'
    const bytes = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.byteLength
    const headBytes = bytes < 126 ? 2 : bytes < 65_536 ? 4 : 10
    const frame = Buffer.allocUnsafe(headBytes + bytes)
    frame[0] = this.binary ? binaryOpcode : textOpcode
    if (headBytes === 2) frame[1] = bytes
    else if (headBytes === 4) {
      frame[1] = 126
      frame.writeUInt16BE(bytes, 2)
    } else {
      frame[1] = 127
      frame.writeUInt32BE(Math.floor(bytes / 2 ** 32), 2)
      frame.writeUInt32BE(bytes >>> 0, 6)
    }
    if (typeof payload === 'string') frame.write(payload, headBytes)
    else frame.set(payload, headBytes)
    this.#headBytes = headBytes
    this.frame = frame
  }

  get bytes(): number {
    return this.frame.byteLength
  }

  /** The message without the frame around it. */
  get payload(): Uint8Array {
    this.#payload ??= this.frame.subarray(this.#headBytes)
    return this.#payload
  }
}

/** What a value is sent as. Throws a NodeError `websocket.cannot-send` where it does not fit the format. */
export function payloadOf(value: unknown, format: OutgoingFormat): string | Uint8Array {
  if (value instanceof Uint8Array) {
    if (format === 'auto' || format === 'bytes') return value
    throw cannotSend(`bytes cannot be sent as ${format}`, 'Use the format bytes or auto.')
  }
  if (typeof value === 'string' && (format === 'auto' || format === 'text')) return value
  if (format === 'bytes')
    throw cannotSend(`${kindOf(value)} cannot be sent as bytes`, 'Give bytes, or use another format.')
  if (format === 'text')
    throw cannotSend(`${kindOf(value)} cannot be sent as text`, 'Give text, or use the format json.')
  const text = jsonText(value)
  if (text === undefined) throw cannotSend(`${kindOf(value)} has no form in JSON`, 'Look where the value comes from.')
  return text
}

function cannotSend(what: string, remedy: string): NodeError {
  return new NodeError('websocket.cannot-send', `${what}. ${remedy}`)
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'an object' : `a value of type ${typeof value}`
}
