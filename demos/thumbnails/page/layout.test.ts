import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { layOut } from './layout.ts'
import { rowCountOf, stepOf } from './rows.ts'

const graph = fc.array(fc.nat(5), { minLength: 1, maxLength: 14 }).chain((columns) =>
  fc.array(fc.tuple(fc.nat(columns.length - 1), fc.nat(columns.length - 1)), { maxLength: 25 }).map((pairs) => ({
    cells: columns.map((column, at) => ({ id: `n${at}`, column })),
    links: pairs
      .filter(([a, b]) => (columns[a] ?? 0) < (columns[b] ?? 0))
      .map(([a, b]) => ({ from: `n${a}`, to: `n${b}` })),
  })),
)

describe('the layout of a workflow', () => {
  it('never lays two nodes over each other, nor a wire over a node that it only passes', () => {
    fc.assert(
      fc.property(graph, ({ cells, links }) => {
        const { rows, bends } = layOut(cells, links)
        const taken = [
          ...cells.map((cell) => ({ column: cell.column, row: rows.get(cell.id) ?? Number.NaN, room: 1 })),
          ...bends.flat().map((bend) => ({ ...bend, room: 0.4 })),
        ]
        for (const [at, one] of taken.entries())
          for (const other of taken.slice(at + 1)) {
            if (one.column !== other.column) continue
            expect(Math.abs(one.row - other.row)).toBeGreaterThanOrEqual((one.room + other.room) / 2 - 1e-9)
          }
      }),
    )
  })

  it('leads a wire over several columns through each of them', () => {
    const cells = ['a', 'b', 'c', 'd'].map((id, column) => ({ id, column }))
    const { bends } = layOut(cells, [{ from: 'a', to: 'd' }])
    expect(bends[0]?.map((bend) => bend.column)).toStrictEqual([1, 2])
  })
})

describe('the rows of a time line', () => {
  it('are more for more thumbnails, on less width, and never too many', () => {
    expect([rowCountOf(5, 1000), rowCountOf(60, 1000), rowCountOf(600, 1000), rowCountOf(60, 330)]).toStrictEqual([
      1, 4, 6, 6,
    ])
    expect(rowCountOf(600, 0)).toBe(1)
  })

  it('have round marks, as many as a phone has room for', () => {
    for (const lengthMs of [900, 5000, 61_000, 400_000, 86_400_000]) {
      expect(lengthMs / stepOf(lengthMs)).toBeLessThanOrEqual(6)
      expect(stepOf(lengthMs) % 1000).toBe(0)
    }
  })
})
