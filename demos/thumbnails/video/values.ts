import type { ChildProcess } from 'node:child_process'
import { z } from 'zod'

/** What a caller sends. `path` must be on the machine that runs the task. */
export const thumbnailsInput = z.strictObject({
  path: z.string().min(1),
  /** Width of a thumbnail; a narrower video is not enlarged. */
  widthPx: z.int().min(16).max(1920).default(320),
  /** More keyframes than this are thinned out evenly over the whole length. */
  countMax: z.int().min(1).max(10_000).default(600),
  /** `coarse-first` shows the whole length roughly and then fills the gaps; `time` goes from the start to the end. */
  order: z.enum(['coarse-first', 'time']).default('coarse-first'),
})

export type ThumbnailsInput = z.input<typeof thumbnailsInput>
export type ThumbnailsRequest = z.output<typeof thumbnailsInput>

/** The first value: what the file holds. Sizes are as displayed: rotated, and with square pixels. */
export interface VideoValue {
  readonly kind: 'video'
  readonly container: string
  readonly codec: string
  readonly width: number
  readonly height: number
  readonly durationMs: number | null
  /** Keyframes in the whole file, or null where counting them would mean reading all of it. */
  readonly keyframes: number | null
  /** Thumbnails that will come at most, or null when it is not known beforehand. */
  readonly thumbnails: number | null
  /** `ffmpeg 5.1.9` or `in-process`. */
  readonly decoder: string
}

export interface ThumbnailValue {
  readonly kind: 'thumbnail'
  /** Position in time order among all thumbnails of this run, from 0. */
  readonly index: number
  readonly atMs: number
  readonly width: number
  readonly height: number
  readonly mime: 'image/jpeg'
  readonly data: Uint8Array
}

/** Stands where a thumbnail would have been: its keyframe is damaged or cut off. */
export interface MissingValue {
  readonly kind: 'missing'
  readonly index: number
  readonly atMs: number
  readonly reason: 'undecodable' | 'cut-off'
}

/** The last value. */
export interface DoneValue {
  readonly kind: 'done'
  readonly thumbnails: number
  readonly missing: number
  /** True when the file ends before its own index says so; what was there has been delivered. */
  readonly truncated: boolean
  /** A sentence for the user when something was left out, else null. */
  readonly note: string | null
  readonly elapsedMs: number
  readonly decoder: string
}

export type ThumbnailsOutput = VideoValue | ThumbnailValue | MissingValue | DoneValue

/** What the task needs from whoever runs it; a worker's task context satisfies it. */
export interface ThumbnailsContext {
  readonly signal: AbortSignal
  /** `share` is 0 to 1, or null where it cannot be told. */
  progress(share: number | null, note: string): void
  log(level: 'debug' | 'info' | 'warn' | 'error', text: string): void
  /** Values that the reader already has from an earlier run of the same input; they are not yielded again. */
  readonly resumeAfter: number
  /** Hands over a child process, so that it ends with the runner even if the task does not end it. */
  own(child: ChildProcess): void
}
