/** More rows would push the next card off the screen; a long video's thumbnails lie closer instead. */
const rowsMax = 6

/** How many rows a time line is broken into, so that most of each of `planned` thumbnails is to be seen. */
export function rowCountOf(planned: number, widthPx: number): number {
  if (widthPx <= 0) return 1
  const seenPx = widthPx < 560 ? 34 : 56
  return Math.max(1, Math.min(rowsMax, Math.ceil((planned * seenPx) / widthPx - 0.25)))
}

/** Height of a row in pixels: few rows are high. */
export function heightOf(rowCount: number): number {
  if (rowCount === 1) return 84
  return rowCount <= 3 ? 72 : 56
}

/** A round step in milliseconds that gives up to 6 marks on a row, which also a phone has room for. */
export function stepOf(lengthMs: number): number {
  const seconds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200]
  return (seconds.find((each) => lengthMs / (each * 1000) <= 6) ?? Math.ceil(lengthMs / 6000)) * 1000
}
