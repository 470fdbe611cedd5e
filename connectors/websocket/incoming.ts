import { isUtf8 } from 'node:buffer'
import { NodeError } from '../../core/flow/failure.ts'
import { JsonReader } from '../../core/json/json-reader.ts'

/** How messages become values: `auto` gives text for text and bytes for binary. */
export const incomingFormats = ['json', 'text', 'bytes', 'auto'] as const
export type IncomingFormat = (typeof incomingFormats)[number]

/** Makes a value of a whole message. Throws a NodeError where the message is not what the format says. */
export type Decoder = (data: Buffer, isBinary: boolean) => unknown

/** The decoder of a format. Text frames have been checked for UTF-8 by the transport, binary ones are checked here. */
export function decoderOf(format: IncomingFormat): Decoder {
  return format === 'json' ? jsonDecoder() : decoders[format]
}

function jsonDecoder(): Decoder {
  let binary = false
  const reader = new JsonReader((data) => {
    const text = textOf(data, binary)
    try {
      return JSON.parse(text)
    } catch {
      throw new NodeError('websocket.not-json', `a message of ${data.length} bytes is not JSON: ${shown(text)}`)
    }
  })
  return (data, isBinary) => {
    binary = isBinary
    return reader.read(data, 0, data.length)
  }
}

const decoders: Readonly<Record<Exclude<IncomingFormat, 'json'>, Decoder>> = {
  text: textOf,
  bytes: ownBytes,
  auto: (data, isBinary) => (isBinary ? ownBytes(data) : data.toString()),
}

function textOf(data: Buffer, isBinary: boolean): string {
  if (isBinary && !isUtf8(data))
    throw new NodeError('websocket.not-utf8', `a binary message of ${data.length} bytes is not text in UTF-8`)
  return data.toString()
}

/** A transport lends its bytes only for the call. */
function ownBytes(data: Buffer): Uint8Array {
  return new Uint8Array(data)
}

const shownCharactersMax = 200

function shown(text: string): string {
  return JSON.stringify(text.slice(0, shownCharactersMax))
}

const keptBytesMax = 10_000

/** What an error port shows of a message that could not be read: the beginning of it. */
export function unreadable(data: Buffer, isBinary: boolean): string | Uint8Array {
  if (isBinary && !isUtf8(data)) return new Uint8Array(data.subarray(0, keptBytesMax))
  return data.toString('utf8', 0, keptBytesMax)
}
