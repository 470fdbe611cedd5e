/** Where progress is shown: standard error, or what a test looks at. */
export interface ProgressScreen {
  readonly isTTY?: boolean
  write(text: string): unknown
}

let drawnOn: ProgressScreen | null = null

/** Draws the one line of progress on a terminal, in the place of the one before. */
export function drawProgress(screen: ProgressScreen, text: string): void {
  drawnOn = screen
  screen.write(`\r\x1b[K${text}`)
}

/** Takes the line of progress away, if there is one. Whoever writes to the terminal does so first, or it would stick to that line. */
export function clearProgress(): void {
  drawnOn?.write('\r\x1b[K')
  drawnOn = null
}
