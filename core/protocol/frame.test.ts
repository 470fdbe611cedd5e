import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseClientFrame } from './client-frames.ts'
import type { EncodedValue } from './frame.ts'
import { decodeFrame, encodeFrame, encodeMessages, encodeValue, reviveValue, UnencodableError } from './frame.ts'
import { parseServerFrame } from './server-frames.ts'

const bytesMax = 1 << 20
const bytes = fc.uint8Array({ maxLength: 40 })
// Keys that look like placeholders, and the name that reaches a prototype, come up often on purpose.
const key = fc.oneof(
  fc.string({ maxLength: 6 }),
  fc.constantFrom('$bytes', '$bytes$', '$bytes$$', '$bytes x', '__proto__', '7'),
)
const value = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(null, true, false, 0, -1.5, '', 'ä\u2028\ud83d\ude00'),
    fc.string(),
    fc.integer(),
    bytes,
    fc.tuple(fc.nat(50), fc.nat(50)),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }).map((entries) => Object.fromEntries(entries)),
  ),
})).value

describe('a frame', () => {
  it('gives back what was put in, bytes and look-alikes included', () => {
    fc.assert(
      fc.property(value, (input) => {
        const decoded = decodeFrame(encodeFrame({ kind: 'run', ...{ input } }), bytesMax)
        expect(decoded.ok && decoded.value).toStrictEqual({ kind: 'run', input })
      }),
      { numRuns: 500 },
    )
  })

  it('carries values that were encoded one by one', () => {
    fc.assert(
      fc.property(fc.array(value, { maxLength: 8 }), (values) => {
        const encoded: EncodedValue[] = values.map((each) => encodeValue(each))
        const decoded = decodeFrame(encodeMessages({ id: 3, offset: 17 }, encoded), bytesMax)
        if (!decoded.ok) throw new Error(decoded.fault.message)
        expect(parseServerFrame(decoded.value)).toStrictEqual({
          ok: true,
          value: { kind: 'messages', id: 3, offset: 17, values },
        })
        expect(encoded.map((each) => reviveValue(each, (raw) => raw))).toStrictEqual(values)
      }),
    )
  })

  it('never changes what it encodes', () => {
    const input = Object.freeze({ list: Object.freeze([new Uint8Array([1, 2])]), $bytes: 1 })
    encodeFrame({ kind: 'x', ...{ input } })
    expect(input).toStrictEqual({ list: [new Uint8Array([1, 2])], $bytes: 1 })
  })

  it('writes dates and buffers as their readers expect them', () => {
    const decoded = decodeFrame(encodeFrame({ kind: 'x', ...{ at: new Date(0), raw: Buffer.from('hi') } }), bytesMax)
    expect(decoded.ok && { ...decoded.value }).toStrictEqual({
      kind: 'x',
      at: '1970-01-01T00:00:00.000Z',
      raw: new Uint8Array([104, 105]),
    })
  })

  it('refuses what JSON cannot hold', () => {
    const cyclic: Record<string, unknown> = {}
    cyclic.self = cyclic
    expect(() => encodeValue(cyclic)).toThrow(UnencodableError)
    expect(() => encodeValue({ n: 1n })).toThrow(UnencodableError)
  })

  it('answers garbage with a fault, never with a throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (raw) => {
        const decoded = decodeFrame(raw, 150)
        if (decoded.ok) parseClientFrame(decoded.value)
        else expect(decoded.fault.code).toMatch(/^frame\./)
      }),
      { numRuns: 1000 },
    )
  })

  it('answers a damaged frame with a fault or another frame, never with a throw', () => {
    const whole = encodeFrame({
      kind: 'run',
      ...{ id: 1, workflow: 'w', input: { a: [new Uint8Array(9)], b: { $bytes: [0, 1] } } },
    })
    fc.assert(
      fc.property(fc.nat(whole.byteLength - 1), fc.nat(255), fc.nat(whole.byteLength), (at, byte, cut) => {
        const damaged = whole.slice(0, cut)
        if (at < cut) damaged[at] = byte
        const decoded = decodeFrame(damaged, bytesMax)
        if (decoded.ok) parseClientFrame(decoded.value)
      }),
      { numRuns: 1000 },
    )
  })

  it.each([
    ['$bytes outside the block', '{"kind":"x","a":{"$bytes":[0,9]}}', 4],
    ['bytes that nobody names', '{"kind":"x"}', 4],
    ['a negative range', '{"kind":"x","a":{"$bytes":[-1,1]}}', 1],
    ['a range that is none', '{"kind":"x","a":{"$bytes":"all"}}', 1],
    ['a bad base', '{"kind":"messages","bases":["x"],"values":[{"$bytes":[0,1]}]}', 1],
    ['too deep', `{"kind":"x","a":${'['.repeat(5000)}${']'.repeat(5000)}}`, 0],
  ])('refuses %s', (_what, header, blockBytes) => {
    const text = new TextEncoder().encode(header)
    const frame = new Uint8Array(4 + text.byteLength + blockBytes)
    new DataView(frame.buffer).setUint32(0, text.byteLength)
    frame.set(text, 4)
    const decoded = decodeFrame(frame, bytesMax)
    expect(decoded.ok ? null : decoded.fault.code).toBe('frame.bad-bytes')
  })
})

describe('a client frame', () => {
  it.each([
    [{ kind: 'hello' }, true],
    [{ kind: 'hello', token: 7 }, false],
    [{ kind: 'subscribe', id: 1, topic: 'jobs/a.b-c', after: 'start', credits: 10 }, true],
    [{ kind: 'subscribe', id: 1, topic: 'jobs', after: 12, log: 'l1', credits: 10 }, true],
    [{ kind: 'subscribe', id: 1, topic: 'jobs', credits: 10 }, true],
    [{ kind: 'subscribe', id: 1, topic: 'no spaces', after: null, credits: 10 }, false],
    [{ kind: 'subscribe', id: -1, topic: 'jobs', after: null, credits: 10 }, false],
    [{ kind: 'subscribe', id: 1, topic: 'jobs', after: 'end', credits: 10 }, false],
    [{ kind: 'subscribe', id: 1, topic: 'jobs', after: null, credits: 1e9 }, false],
    [{ kind: 'credit', id: 1, n: 5 }, true],
    [{ kind: 'credit', id: 1, n: 0 }, false],
    [{ kind: 'unsubscribe', id: 1.5 }, false],
    [{ kind: 'run', id: 1, workflow: 'w', input: [1] }, true],
    [{ kind: 'run', id: 1, input: [1] }, false],
    [{ kind: 'cancel', execution: 'e' }, true],
    [{ kind: 'cancel' }, false],
    [{ kind: 'shutdown' }, false],
    [{}, false],
  ])('%j is taken: %s', (header, taken) => {
    expect(parseClientFrame(header).ok).toBe(taken)
  })
})
