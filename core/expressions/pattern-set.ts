/** A set of code points as sorted ranges without gaps between neighbours, ends included. */
export type CharSet = readonly (readonly [from: number, to: number])[]

const last = 0x10ffff
export const allChars: CharSet = [[0, last]]
export const digits: CharSet = [[48, 57]]
export const wordChars: CharSet = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
]
export const spaceChars: CharSet = normal([
  [9, 13],
  [32, 32],
  [160, 160],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
])
export const lineEnds: CharSet = [
  [10, 10],
  [13, 13],
  [0x2028, 0x2029],
]

export function union(left: CharSet, right: CharSet): CharSet {
  if (left.length === 0) return right
  return right.length === 0 ? left : normal([...left, ...right])
}

export function overlaps(left: CharSet, right: CharSet): boolean {
  return left.some(([from, to]) => right.some(([otherFrom, otherTo]) => from <= otherTo && otherFrom <= to))
}

export function complement(set: CharSet): CharSet {
  const result: [number, number][] = []
  let next = 0
  for (const [from, to] of set) {
    if (from > next) result.push([next, from - 1])
    next = to + 1
  }
  if (next <= last) result.push([next, last])
  return result
}

/**
 * The set with both cases of its letters. Outside ASCII, cases are many (and k and s have relatives there),
 * so a set that reaches there is taken to hold all of it: overlap may be seen where none is, never the reverse.
 */
export function bothCases(set: CharSet): CharSet {
  const more: (readonly [number, number])[] = [...set]
  for (const [from, to] of set) {
    const lower: readonly [number, number] = [Math.max(from, 65) + 32, Math.min(to, 90) + 32]
    const upper: readonly [number, number] = [Math.max(from, 97) - 32, Math.min(to, 122) - 32]
    if (lower[0] <= lower[1]) more.push(lower)
    if (upper[0] <= upper[1]) more.push(upper)
  }
  const result = normal(more)
  return overlaps(result, [
    [75, 75],
    [83, 83],
    [128, last],
  ])
    ? union(result, [[128, last]])
    : result
}

function normal(ranges: readonly (readonly [number, number])[]): CharSet {
  const result: [number, number][] = []
  for (const [from, to] of ranges.toSorted((left, right) => left[0] - right[0])) {
    const previous = result.at(-1)
    if (previous !== undefined && from <= previous[1] + 1) previous[1] = Math.max(previous[1], to)
    else result.push([from, to])
  }
  return result
}
