import fc from 'fast-check'
import { expect, test } from 'vitest'
import { lineRecords } from './line-records.ts'
import type { LineConsumer, LineRun } from './lines.ts'
import { LineReader } from './lines.ts'

interface Found {
  readonly number: number
  readonly text: string
  readonly long: boolean
}

/** Below this limit, the beginning that is kept of a line may end inside its first character. */
const shownFrom = 8

class Keeper implements LineConsumer {
  readonly found: Found[] = []
  readonly #lineBytesMax: number

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax
  }

  line(bytes: Buffer, begin: number, end: number, number: number): void {
    this.found.push({ number, text: bytes.toString('utf8', begin, end), long: false })
  }
  tooLong(number: number, bytes: number, head: string): void {
    this.found.push({
      number,
      text: this.#lineBytesMax < shownFrom ? `${bytes}` : `${bytes}:${[...head][0]}`,
      long: true,
    })
  }
}

/** Every line of the bytes, by the plainest means. */
function naive(bytes: Buffer, lineBytesMax: number): Found[] {
  const whole = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes
  const lines = whole.toString('latin1').split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines.map((line, index) => {
    const raw = Buffer.from(line, 'latin1')
    const text = raw.toString('utf8')
    return raw.length > lineBytesMax
      ? {
          number: index + 1,
          text: lineBytesMax < shownFrom ? `${raw.length}` : `${raw.length}:${[...text][0]}`,
          long: true,
        }
      : { number: index + 1, text: text.endsWith('\r') ? text.slice(0, -1) : text, long: false }
  })
}

function read(
  chunks: readonly Uint8Array[],
  options: {
    readonly lineBytesMax: number
    readonly linesMax: number
    readonly bytesMax: number
  },
): { found: Found[]; again: Found[]; runs: { lines: number; bytes: number }[] } {
  const reader = new LineReader(options.lineBytesMax)
  const found: Found[] = []
  const again: Found[] = []
  const runs: { lines: number; bytes: number }[] = []
  const drain = (): void => {
    for (;;) {
      const keeper = new Keeper(options.lineBytesMax)
      const run: LineRun | null = reader.take(options.linesMax, options.bytesMax, keeper)
      if (run === null) return
      found.push(...keeper.found)
      runs.push({ lines: keeper.found.length, bytes: run.bytes.length })
      const repeat = new Keeper(options.lineBytesMax)
      if (run.bytes.length > 0) reader.again(run, repeat)
      again.push(...(run.bytes.length > 0 ? repeat.found : keeper.found))
    }
  }
  for (const chunk of chunks) {
    reader.push(chunk)
    drain()
  }
  reader.end()
  drain()
  return { found, again, runs }
}

function cut(bytes: Buffer, places: readonly number[]): Uint8Array[] {
  const at = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, index) => bytes.subarray(at[index] ?? 0, end))
}

const piece = fc.oneof(
  fc.constantFrom('\n', '\r\n', '\r', 'a', 'ä', '€', '😀', '{"a":1}', '\ufeff'),
  fc.string({ maxLength: 12, unit: 'grapheme' }),
  fc.uint8Array({ maxLength: 4 }),
  fc.nat(60).map((length) => 'x'.repeat(length)),
)
const text = fc
  .array(piece, { maxLength: 40 })
  .map((pieces) => Buffer.concat(pieces.map((each) => Buffer.from(each as string))))

test('lines do not depend on where the bytes, or the batches, are cut', () => {
  fc.assert(
    fc.property(
      text,
      fc.array(fc.nat(), { maxLength: 12 }),
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 10 }),
      fc.integer({ min: 1, max: 100 }),
      (bytes, places, lineBytesMax, linesMax, bytesMax) => {
        const { found, again, runs } = read(cut(bytes, places), { lineBytesMax, linesMax, bytesMax })
        expect(found).toEqual(naive(bytes, lineBytesMax))
        expect(again).toEqual(found)
        for (const run of runs) expect(run.lines <= linesMax && (run.bytes <= bytesMax || run.lines === 1)).toBe(true)
      },
    ),
    { numRuns: 3000 },
  )
})

test('a line without end is thrown away as it comes', () => {
  const reader = new LineReader(1000)
  const before = process.memoryUsage().arrayBuffers
  const keeper = new Keeper(1000)
  const take = (): void => {
    while (reader.take(10, 10_000, keeper) !== null);
  }
  for (let chunk = 0; chunk < 12_000; chunk++) {
    reader.push(Buffer.alloc(65_536))
    take()
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(400_000_000)
  reader.push(Buffer.from('yz\nnext\n'))
  take()
  expect(keeper.found).toEqual([
    { number: 1, text: '786432002:\0', long: true },
    { number: 2, text: 'next', long: false },
  ])
})

test('a line that is not UTF-8, or not JSON, is told apart from those around it', () => {
  const records = lineRecords({ format: 'ndjson', where: 'a file', node: 'in', lineBytesMax: 1000 })
  const lines = ['{"n":1}', '{"n":"\xff"}', '', ' \t', '{"n":2', ...Array.from({ length: 40 }, (_, n) => `{"n":${n}}`)]
  records.push(Buffer.from(`${lines.join('\n')}\n{"n":"\xfe"}\n{"n":"\xc3\xa4"}\n`, 'latin1'))
  const taken = records.take({ messages: 100, bytes: 10_000 })
  expect(taken?.values).toEqual([{ n: 1 }, ...Array.from({ length: 40 }, (_, n) => ({ n })), { n: 'ä' }])
  expect(taken?.unreadable.map((each) => each.failure.message.split(':')[0])).toEqual([
    'line 2 of a file is not UTF-8',
    'line 5 of a file is not JSON',
    'line 46 of a file is not UTF-8',
  ])
  expect(taken?.again()).toEqual(taken?.values)
})

test('another text counts its lines from one and may begin with a mark of its own', () => {
  const reader = new LineReader(1000)
  const keeper = new Keeper(1000)
  const take = (): void => {
    while (reader.take(10, 100, keeper) !== null);
  }
  for (const words of ['\ufeffa\nb', '\ufeffc\n']) {
    reader.push(Buffer.from(words))
    take()
    reader.end()
    take()
    reader.restart()
  }
  expect(keeper.found.map((each) => `${each.number}${each.text}`)).toEqual(['1a', '2b', '1c'])
})
