import type { ViewLine } from './top-view.ts'

/** A terminal that is drawn in place. */
export interface LiveScreen {
  /** Draws a head, as much of the view as there is room for, and a foot; again when the terminal's size changes. */
  draw(head: string, view: View, foot: string): void
  /** Leaves the terminal as it was. Idempotent. */
  close(): void
}

/** What is to be seen, as lines of at most so many columns. */
export type View = (columns: number) => readonly ViewLine[]

export interface ScreenStreams {
  readonly input: NodeJS.ReadStream
  readonly output: NodeJS.WriteStream
}

const enter = '\x1b[?1049h\x1b[?25l'
const leave = '\x1b[?25h\x1b[?1049l'
/** Terminals that know it show what lies between the two at once; others ignore it. */
const [beginFrame, endFrame] = ['\x1b[?2026h', '\x1b[?2026l']

const looks: Readonly<Record<ViewLine['look'], readonly [string, string]>> = {
  plain: ['', ''],
  strong: ['\x1b[1m', '\x1b[22m'],
  faint: ['\x1b[2m', '\x1b[22m'],
}

/** Takes over the terminal until it is closed; `onLeave` is called when a person wants that: q, Ctrl-C, Ctrl-D or Escape. */
export function openScreen({ input, output }: ScreenStreams, onLeave: () => void): LiveScreen {
  let head = ''
  let view: View = () => []
  let foot = ''
  let scrolled = 0
  let open = true

  const room = (): number => Math.max(1, (output.rows ?? 24) - 3)
  const show = (): void => {
    if (!open) return
    const width = output.columns ?? 80
    const lines = view(width)
    scrolled = Math.max(0, Math.min(scrolled, lines.length - room()))
    const shown = lines.slice(scrolled, scrolled + room())
    const rows = [
      `\x1b[7m${head.slice(0, width).padEnd(width)}\x1b[27m`,
      '',
      ...shown.map(({ text, look }) => `${looks[look][0]}${text}${looks[look][1]}`),
    ]
    const below = lines.length - scrolled - shown.length
    const more = below > 0 ? `${foot}  ↓ ${below} more lines` : foot
    // Each line is written over the one before and its rest erased: nothing is blank in between, so nothing flickers.
    const text = rows.map((row) => `${row}\x1b[K`).join('\r\n')
    const last = `\x1b[${room() + 3};1H\x1b[2m${more.slice(0, width - 1)}\x1b[22m\x1b[K`
    output.write(`${beginFrame}\x1b[H${text}\x1b[J${last}${endFrame}`)
  }
  const scroll = (by: number): void => {
    scrolled += by
    show()
  }
  const onKey = (chunk: Buffer): void => {
    const key = chunk.toString('utf8')
    if (key === 'q' || key === 'Q' || key === '\x03' || key === '\x04' || key === '\x1b') onLeave()
    else if (key === '\x1b[A' || key === 'k') scroll(-1)
    else if (key === '\x1b[B' || key === 'j') scroll(1)
    else if (key === '\x1b[5~') scroll(-room())
    else if (key === '\x1b[6~' || key === ' ') scroll(room())
  }
  const close = (): void => {
    if (!open) return
    open = false
    output.off('resize', show)
    input.off('data', onKey)
    if (input.isTTY) input.setRawMode(false)
    input.pause()
    process.off('exit', close)
    output.write(leave)
  }

  output.write(enter)
  output.on('resize', show)
  if (input.isTTY) {
    input.setRawMode(true)
    input.on('data', onKey)
    input.resume()
  }
  // Whatever ends the process, the terminal is given back.
  process.once('exit', close)
  return {
    draw(nextHead, nextView, nextFoot) {
      head = nextHead
      view = nextView
      foot = nextFoot
      show()
    },
    close,
  }
}
