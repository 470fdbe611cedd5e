import type { BenchRow } from './row.ts'

export interface Comparison {
  readonly figure: string
  readonly ours: () => Promise<void>
  readonly peer: () => Promise<void>
  readonly peerName: string
  /** What one run's time is divided by: messages, calls. */
  readonly per: number
  readonly unit: 'ns/message' | 'ns/execution' | 'ns/call' | 'ms'
  /** The ratio ours ÷ peer must not pass it; null where `holds` decides. */
  readonly goal: number | null
  readonly holds?: (ours: number) => boolean
  readonly rounds?: number
  readonly warmups?: number
}

/** Runs the two in turn, in this process, and compares pair by pair: medians with the spread of the ratio. */
export async function compare(comparison: Comparison): Promise<BenchRow> {
  const { rounds = 7, warmups = 3 } = comparison
  const ours: number[] = []
  const peer: number[] = []
  for (let round = -warmups; round < rounds; round++) {
    const mine = await timed(comparison.ours)
    const theirs = await timed(comparison.peer)
    if (round < 0) continue
    ours.push(mine)
    peer.push(theirs)
  }
  const ratios = ours.map((each, index) => each / (peer[index] ?? each))
  const scale = comparison.unit === 'ms' ? 1 : 1e6
  const mine = (median(ours) * scale) / comparison.per
  const ratio = median(ratios)
  return {
    figure: comparison.figure,
    ours: mine,
    peer: (median(peer) * scale) / comparison.per,
    peerName: comparison.peerName,
    ratio,
    goal: comparison.goal ?? 0,
    holds:
      comparison.holds === undefined ? comparison.goal !== null && ratio <= comparison.goal : comparison.holds(mine),
    unit: comparison.unit,
    runs: { count: rounds, ratioMin: Math.min(...ratios), ratioMax: Math.max(...ratios) },
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

/** Milliseconds that a piece of work takes. */
export async function timed(work: () => Promise<void>): Promise<number> {
  const begin = performance.now()
  await work()
  return performance.now() - begin
}
