/**
 * The watermark over several inputs: the least of what each promised, idle ones left out.
 * A watermark never falls. Inputs are numbered from 0.
 */
export class EventTime {
  /** The present minimum in milliseconds; -Infinity until every input that is not idle has spoken. */
  watermark = Number.NEGATIVE_INFINITY
  readonly #inputs: { watermark: number; idle: boolean }[]
  readonly #numbers = new Map<number, number>()

  constructor(inputs: number) {
    this.#inputs = Array.from({ length: inputs }, () => ({ watermark: Number.NEGATIVE_INFINITY, idle: false }))
  }

  /** Gives every distinct link a number below the count of inputs. */
  inputOf(link: number): number {
    const known = this.#numbers.get(link)
    if (known !== undefined) return known
    const next = this.#numbers.size
    this.#numbers.set(link, next)
    return next
  }

  /** Notes that nothing older than `watermark` follows on an input; answers the new minimum if it rose. */
  observe(input: number, watermark: number): number | null {
    const each = this.#inputs[input]
    if (each === undefined) return null
    each.idle = false
    each.watermark = Math.max(each.watermark, watermark)
    return this.#rise()
  }

  /** Leaves an input out until it speaks again; answers the new minimum if it rose. */
  idle(input: number): number | null {
    const each = this.#inputs[input]
    if (each !== undefined) each.idle = true
    return this.#rise()
  }

  #rise(): number | null {
    const live = this.#inputs.filter((each) => !each.idle)
    if (live.length === 0) return null
    const minimum = Math.min(...live.map((each) => each.watermark))
    if (minimum <= this.watermark) return null
    this.watermark = minimum
    return minimum
  }
}
