/** A node as the layout sees it, and a wire between two of them; columns are given, rows are what it finds. */
export interface Cell {
  readonly id: string
  readonly column: number
}

export interface Link {
  readonly from: string
  readonly to: string
}

export interface Layout {
  /** The row of each node, from 0, in cells; rows between cells are possible. */
  readonly rows: ReadonlyMap<string, number>
  /** For each link, in their order, the places that it passes between its ends: one in each column that it crosses. */
  readonly bends: readonly (readonly { readonly column: number; readonly row: number }[])[]
  readonly columnCount: number
  readonly rowCount: number
}

interface Slot {
  readonly key: string
  readonly column: number
  /** A link that only passes needs less room than a node. */
  readonly room: number
  row: number
}

const passingRoom = 0.45

/**
 * Layered drawing after Sugiyama: a link over several columns gets a slot of its own in each that it crosses, so that it
 * passes between the nodes; slots are ordered by the mean of their neighbours, forth and back a few times.
 */
export function layOut(cells: readonly Cell[], links: readonly Link[]): Layout {
  const columnOf = new Map(cells.map((cell) => [cell.id, cell.column]))
  const slots: Slot[] = cells.map((cell) => ({ key: cell.id, column: cell.column, room: 1, row: 0 }))
  const chains = links.map((link, index) => {
    const first = (columnOf.get(link.from) ?? 0) + 1
    const last = (columnOf.get(link.to) ?? 0) - 1
    const passing: Slot[] = []
    for (let column = first; column <= last; column++)
      passing.push({ key: `${index}/${column}`, column, room: passingRoom, row: 0 })
    slots.push(...passing)
    return [link.from, ...passing.map((slot) => slot.key), link.to]
  })
  const neighbours = neighboursOf(chains)
  const columnCount = Math.max(0, ...slots.map((slot) => slot.column)) + 1
  const columns = Array.from({ length: columnCount }, (_, at) => slots.filter((slot) => slot.column === at))
  const bySlot = new Map(slots.map((slot) => [slot.key, slot]))
  for (const column of columns) stack(column)
  for (let round = 0; round < 8; round++) {
    const forth = round % 2 === 0
    for (const column of forth ? columns : [...columns].reverse()) order(column, neighbours, bySlot, forth)
  }
  for (let round = 0; round < 6; round++) for (const column of columns) settle(column, neighbours, bySlot)
  const top = Math.min(...slots.map((slot) => slot.row - slot.room / 2))
  const bottom = Math.max(...slots.map((slot) => slot.row + slot.room / 2))
  const rowOf = (key: string): number => (bySlot.get(key)?.row ?? 0) - top - 0.5
  return {
    rows: new Map(cells.map((cell) => [cell.id, rowOf(cell.id)])),
    bends: chains.map((chain) =>
      chain.slice(1, -1).map((key) => ({ column: bySlot.get(key)?.column ?? 0, row: rowOf(key) })),
    ),
    columnCount,
    rowCount: bottom - top,
  }
}

type Neighbours = ReadonlyMap<string, { readonly before: readonly string[]; readonly after: readonly string[] }>

function neighboursOf(chains: readonly (readonly string[])[]): Neighbours {
  const found = new Map<string, { before: string[]; after: string[] }>()
  const at = (key: string) => {
    const known = found.get(key) ?? { before: [], after: [] }
    found.set(key, known)
    return known
  }
  for (const chain of chains)
    chain.forEach((key, index) => {
      const next = chain[index + 1]
      if (next === undefined) return
      at(key).after.push(next)
      at(next).before.push(key)
    })
  return found
}

function order(column: Slot[], neighbours: Neighbours, bySlot: ReadonlyMap<string, Slot>, forth: boolean): void {
  const wanted = new Map(
    column.map((slot) => {
      const beside = neighbours.get(slot.key)
      return [slot.key, mean((forth ? beside?.before : beside?.after) ?? [], bySlot) ?? slot.row]
    }),
  )
  column.sort((a, b) => (wanted.get(a.key) ?? 0) - (wanted.get(b.key) ?? 0))
  stack(column)
}

/** One below the other, around the middle. */
function stack(column: readonly Slot[]): void {
  let row = -column.reduce((sum, slot) => sum + slot.room, 0) / 2
  for (const slot of column) {
    slot.row = row + slot.room / 2
    row += slot.room
  }
}

/** Moves each slot towards its neighbours as far as those above and below it let it: links become straighter. */
function settle(column: readonly Slot[], neighbours: Neighbours, bySlot: ReadonlyMap<string, Slot>): void {
  column.forEach((slot, index) => {
    const beside = neighbours.get(slot.key)
    const wanted = mean([...(beside?.before ?? []), ...(beside?.after ?? [])], bySlot) ?? slot.row
    const above = column[index - 1]
    const below = column[index + 1]
    const least = above === undefined ? Number.NEGATIVE_INFINITY : above.row + (above.room + slot.room) / 2
    const most = below === undefined ? Number.POSITIVE_INFINITY : below.row - (below.room + slot.room) / 2
    slot.row = Math.max(least, Math.min(most, wanted))
  })
}

function mean(keys: readonly string[], bySlot: ReadonlyMap<string, Slot>): number | null {
  if (keys.length === 0) return null
  return keys.reduce((sum, key) => sum + (bySlot.get(key)?.row ?? 0), 0) / keys.length
}
