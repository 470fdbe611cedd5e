import type { BenchRow } from './row.ts'

export interface Comparison {
  readonly figure: string
  readonly ours: () => Promise<void>
  readonly peer: () => Promise<void>
  readonly peerName: string
  /** What one run's time is divided by: messages, calls. */
  readonly per: number
  readonly unit: 'ns/message' | 'ns/call' | 'ms'
  /** The ratio ours ÷ peer must not pass it. */
  readonly goal: number
  readonly rounds?: number
  readonly warmups?: number
}

/** Runs the two in turn, in this process, and compares pair by pair: medians with the spread of the ratio. */
export async function compare(comparison: Comparison): Promise<BenchRow> {
  const { rounds = 7, warmups = 3, goal, figure, unit, peerName } = comparison
  const ours: number[] = []
  const peer: number[] = []
  for (let round = -warmups; round < rounds; round++) {
    // Who goes first changes, so that neither always finds the other's garbage.
    const mineFirst = round % 2 === 0
    const early = await timed(mineFirst ? comparison.ours : comparison.peer)
    const late = await timed(mineFirst ? comparison.peer : comparison.ours)
    if (round < 0) continue
    ours.push(mineFirst ? early : late)
    peer.push(mineFirst ? late : early)
  }
  const scale = (unit === 'ms' ? 1 : 1e6) / comparison.per
  const scaled = (times: readonly number[]): readonly number[] => times.map((each) => each * scale)
  return compared({ figure, ours: scaled(ours), peer: scaled(peer), peerName, goal, unit })
}

/** Figures of two sides, taken in the same rounds. */
export interface Pairs {
  readonly figure: string
  readonly ours: readonly number[]
  readonly peer: readonly number[]
  readonly peerName: string
  /** The ratio ours ÷ peer must not pass it. */
  readonly goal: number
  /** Of `ours` and `peer`. */
  readonly unit: string
}

/** Compares figures that are measured already, pair by pair: medians with the spread of the ratio. */
export function compared({ figure, ours, peer, peerName, goal, unit }: Pairs): BenchRow {
  const ratios = ours.map((each, index) => each / (peer[index] ?? each))
  const ratio = median(ratios)
  return {
    figure,
    ours: median(ours),
    peer: median(peer),
    peerName,
    ratio,
    goal,
    holds: ratio <= goal,
    unit,
    runs: { count: ours.length, ratioMin: Math.min(...ratios), ratioMax: Math.max(...ratios) },
  }
}

/** A figure with an absolute limit, as a row: the limit stands as the peer, and the goal is a ratio of 1. */
export function against(figure: string, values: readonly number[], limit: number, unit: string): BenchRow {
  const ours = median(values)
  const ratios = values.map((each) => each / limit)
  return {
    figure,
    ours,
    peer: limit,
    peerName: 'the limit',
    ratio: ours / limit,
    goal: 1,
    holds: ours <= limit,
    unit,
    runs: { count: values.length, ratioMin: Math.min(...ratios), ratioMax: Math.max(...ratios) },
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
