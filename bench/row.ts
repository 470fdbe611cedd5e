/** One measured figure beside that of a peer, taken in one process run, interleaved. */
export interface BenchRow {
  readonly figure: string
  readonly ours: number
  readonly peer: number
  readonly peerName: string
  /** `ours / peer`, the median of the rounds. */
  readonly ratio: number
  /** What `ratio` may be at most. */
  readonly goal: number
  readonly holds: boolean
  /** Of `ours` and `peer`. */
  readonly unit: string
  readonly runs: { readonly count: number; readonly ratioMin: number; readonly ratioMax: number }
}
