/** The candidate that looks most like a mistyped name, or null when none is close. Edit distance by Levenshtein. */
export function nearest(name: string, candidates: readonly string[]): string | null {
  if (name.length > 60) return null
  let best: string | null = null
  let bestDistance = Math.min(3, Math.floor(name.length / 3) + 1)
  for (const candidate of candidates) {
    const distance = distanceOf(name.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance || (distance === 0 && best === null)) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Levenshtein distance; infinite where the lengths alone differ by more than three. */
export function distanceOf(left: string, right: string): number {
  if (Math.abs(left.length - right.length) > 3) return Number.POSITIVE_INFINITY
  let row = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let i = 1; i <= left.length; i++) {
    const next = [i]
    for (let j = 1; j <= right.length; j++) {
      const change = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1)
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[right.length] ?? 0
}
