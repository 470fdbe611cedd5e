/** One thumbnail to make: which keyframe, and its place among all thumbnails in time order. */
export interface PlannedFrame {
  readonly index: number
  /** The keyframe's own time in the file, in seconds, exactly as its index states it: the key for finding it again. */
  readonly time: number
}

/** Sides of a thumbnail in pixels. */
export interface Size {
  readonly width: number
  readonly height: number
}

/** What became of a planned frame: its picture, or why there is none. */
export type Picture =
  | { readonly frame: PlannedFrame; readonly jpeg: Uint8Array }
  | { readonly frame: PlannedFrame; readonly reason: 'undecodable' | 'cut-off' }

/** A first row has between half and all of this many thumbnails. */
const coarseCountMax = 16

/**
 * Chooses which keyframes become thumbnails, and in which order they are made. Depends on nothing but its arguments,
 * so another runner comes to the same plan and can go on in the middle of it.
 * `keyframes` are ascending times in seconds. More than `countMax` are thinned to `countMax`, spread evenly over time.
 */
export function planFrames(
  keyframes: readonly number[],
  options: { readonly countMax: number; readonly order: 'coarse-first' | 'time' },
): readonly PlannedFrame[] {
  const chosen = keyframes.length <= options.countMax ? keyframes : evenly(keyframes, options.countMax)
  const frames = chosen.map((time, index) => ({ index, time }))
  return options.order === 'time' ? frames : coarseFirst(frames)
}

/**
 * Keyframes nearest to `count` evenly spaced points of time. Keyframes lie unevenly in real films (one per cut), so
 * picking every n-th would crowd the busy scenes. Each is taken once; where several points share one keyframe the
 * following one is taken as long as enough are left for the points still to come.
 */
function evenly(keyframes: readonly number[], count: number): readonly number[] {
  const first = keyframes[0] ?? 0
  const span = (keyframes[keyframes.length - 1] ?? 0) - first
  const chosen: number[] = []
  let next = 0
  for (let point = 0; point < count; point++) {
    const wanted = first + (count === 1 ? 0 : (span * point) / (count - 1))
    const last = keyframes.length - (count - point)
    while (next < last && distance(keyframes, next + 1, wanted) <= distance(keyframes, next, wanted)) next++
    const time = keyframes[next]
    if (time !== undefined) chosen.push(time)
    next++
  }
  return chosen
}

function distance(keyframes: readonly number[], at: number, wanted: number): number {
  return Math.abs((keyframes[at] ?? Number.POSITIVE_INFINITY) - wanted)
}

/** Every 2^k-th first, then those half-way between, and so on; each round in time order, so reading goes forwards. */
function coarseFirst(frames: readonly PlannedFrame[]): readonly PlannedFrame[] {
  let stride = 1
  while (frames.length / stride > coarseCountMax) stride *= 2
  const ordered: PlannedFrame[] = frames.filter((_, at) => at % stride === 0)
  for (; stride > 1; stride /= 2) {
    for (let at = stride / 2; at < frames.length; at += stride) {
      const frame = frames[at]
      if (frame !== undefined) ordered.push(frame)
    }
  }
  return ordered
}
