import type { ReadShape } from './generate-reader.ts'
import { generateReader, miss } from './generate-reader.ts'
import { shapeOf } from './json-shape.ts'

/** What reads JSON of any form, and throws where it is none. */
export type ParseJson = (bytes: Buffer, start: number, end: number) => unknown

/** Of larger records the texts are large, too, and the parser is as quick. */
const recordBytesMax = 16_384
const shapesMax = 4
/** Code is made for a shape when so many records had none; twice as many for the next one, so that shapes without end make little code. */
const firstLearnedAfter = 16
/** Of so many records some part must fit a shape; otherwise shapes are not tried for a while. */
const looked = 1_024
const fitMin = looked / 4
const restedFor = 16 * looked

/**
 * Reads JSON records that resemble each other, as those of one stream do, in less than half the time of `JSON.parse`: from records
 * that came it learns shapes — which keys, in which order, with which blanks — and makes a reader for each, as the compiler makes loops.
 * A record that fits none goes to `parse`, so what comes out is always what `parse` gives.
 */
export class JsonReader {
  readonly #parse: ParseJson
  /** The one that fitted last comes first. */
  readonly #shapes: ReadShape[] = []
  #missed = 0
  #learnedAfter = firstLearnedAfter
  #tried = 0
  #fitted = 0
  #resting = 0

  constructor(parse: ParseJson) {
    this.#parse = parse
  }

  /** The value in `bytes` from `start` to `end`. Throws what `parse` throws. */
  read(bytes: Buffer, start: number, end: number): unknown {
    if (end - start > recordBytesMax || this.#isResting()) return this.#parse(bytes, start, end)
    const text = bytes.toString('latin1', start, end)
    const shapes = this.#shapes
    for (let i = 0; i < shapes.length; i++) {
      const shape = shapes[i]!
      const value = shape(bytes, text, start, end)
      if (value === miss) continue
      this.#fitted += 1
      if (i > 0) {
        shapes[i] = shapes[0]!
        shapes[0] = shape
      }
      return value
    }
    const value = this.#parse(bytes, start, end)
    this.#missed += 1
    if (this.#missed >= this.#learnedAfter) this.#learn(bytes, start, end)
    return value
  }

  #isResting(): boolean {
    if (this.#resting > 0) {
      this.#resting -= 1
      return true
    }
    if (this.#tried++ < looked) return false
    const fits = this.#fitted >= fitMin
    this.#tried = 0
    this.#fitted = 0
    if (!fits) this.#resting = restedFor
    return !fits
  }

  #learn(bytes: Buffer, start: number, end: number): void {
    this.#missed = 0
    this.#learnedAfter *= 2
    const shape = shapeOf(bytes.subarray(start, end))
    if (shape === null) return
    const read = generateReader(shape)
    // A list of things that differ has no shape: not even the record that it came from fits.
    if (read(bytes, bytes.toString('latin1', start, end), start, end) === miss) return
    if (this.#shapes.length === shapesMax) this.#shapes.pop()
    this.#shapes.unshift(read)
  }
}
