/** One way from a file to all its thumbnails. */
export interface ThumbnailRun {
  /** From the start, when the file is there, to the first whole thumbnail. */
  readonly firstMs: number
  readonly totalMs: number
  readonly count: number
}
