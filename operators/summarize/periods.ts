import { NodeError } from '../../core/flow/failure.ts'
import { Pane } from '../../core/flow/pane.ts'
import type { Receipt } from '../../core/flow/receipt.ts'
import type { Cell } from './running-values.ts'

/** One period that is open: the cells of its keys, and one hold for each batch that went into it. */
export interface Period {
  /** Its first millisecond. */
  readonly from: number
  readonly cells: Map<unknown, Cell>
  readonly pane: Pane
  /** The batch that was held last: its other messages need not ask again. */
  held: Receipt | null
}

/** The periods that are open, oldest first. Mostly there is one. */
export class Periods {
  readonly #everyMs: number
  readonly #cellsMax: number
  #open: Period[] = []
  #cells = 0

  constructor(everyMs: number, cellsMax: number) {
    this.#everyMs = everyMs
    this.#cellsMax = cellsMax
  }

  get oldest(): Period | undefined {
    return this.#open[0]
  }

  /** The period that begins at `from`. Looked for from its newest end, where nearly all messages belong. */
  at(from: number): Period {
    let index = this.#open.length - 1
    for (; index >= 0; index--) {
      const each = this.#open[index]
      if (each === undefined || each.from < from) break
      if (each.from === from) return each
    }
    const made: Period = { from, cells: new Map(), pane: new Pane(), held: null }
    this.#open.splice(index + 1, 0, made)
    return made
  }

  /** A key's cell in a period; `make` is called for one that is not there. Throws `summarize.too-many-keys`. */
  cell(period: Period, key: unknown, make: () => Cell): Cell {
    const known = period.cells.get(key)
    if (known !== undefined) return known
    if (this.#cells >= this.#cellsMax)
      throw new NodeError(
        'summarize.too-many-keys',
        `${this.#cellsMax} keys are open, so ${JSON.stringify(key)} finds no room; raise keysMax, or choose coarser keys`,
      )
    const cell = make()
    period.cells.set(key, cell)
    this.#cells += 1
    return cell
  }

  /** Takes out the oldest period if it is over at `time`. */
  over(time: number): Period | null {
    const [first] = this.#open
    if (first === undefined || first.from + this.#everyMs > time) return null
    this.#open.shift()
    this.#cells -= first.cells.size
    return first
  }

  /** Lets all go without a result. */
  drop(): void {
    for (const each of this.#open) each.pane.drop()
    this.#open = []
    this.#cells = 0
  }
}
