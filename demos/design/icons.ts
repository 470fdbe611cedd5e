import { drawing } from './element.ts'

/** Outlines on a grid of 24, drawn with one line width, so that they look like one family. */
const shapes = {
  film: ['M3 5h18v14H3z', 'M7.5 5v14', 'M16.5 5v14', 'M3 9.7h4.5', 'M3 14.3h4.5', 'M16.5 9.7H21', 'M16.5 14.3H21'],
  upload: ['M12 16V4', 'M7 9l5-5 5 5', 'M4 16v4h16v-4'],
  sparkles: ['M12 4l1.8 5.2L19 11l-5.2 1.8L12 18l-1.8-5.2L5 11l5.2-1.8z', 'M19 3v4', 'M17 5h4', 'M5 17v4', 'M3 19h4'],
  copy: ['M9 9h11v11H9z', 'M5 15H4V4h11v1'],
  check: ['M4.5 12.5l5 5 10-11'],
  done: ['M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z', 'M8 12.3l2.8 2.7L16 9.5'],
  stop: ['M6 6h12v12H6z'],
  stopped: ['M8.2 3h7.6L21 8.2v7.6L15.8 21H8.2L3 15.8V8.2z', 'M9.5 9.5h5v5h-5z'],
  close: ['M6 6l12 12', 'M18 6L6 18'],
  warning: ['M12 4L2.8 20h18.4z', 'M12 10v4.5', 'M12 17.3v.2'],
  failed: ['M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z', 'M9 9l6 6', 'M15 9l-6 6'],
  clock: ['M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z', 'M12 7v5l3.5 2'],
  waves: [
    'M2.5 8c2.4 0 2.4-2 4.75-2s2.4 2 4.75 2 2.4-2 4.75-2 2.4 2 4.75 2',
    'M2.5 13c2.4 0 2.4-2 4.75-2s2.4 2 4.75 2 2.4-2 4.75-2 2.4 2 4.75 2',
    'M2.5 18c2.4 0 2.4-2 4.75-2s2.4 2 4.75 2 2.4-2 4.75-2 2.4 2 4.75 2',
  ],
  hourglass: ['M6 3h12', 'M6 21h12', 'M7.5 3v4l4.5 5-4.5 5v4', 'M16.5 3v4L12 12l4.5 5v4'],
  unplugged: [
    'M4 20l4-4',
    'M20 4l-4 4',
    'M6.5 12.5l5 5-1.5 1.5a3.5 3.5 0 0 1-5 0 3.5 3.5 0 0 1 0-5z',
    'M17.5 11.5l-5-5L14 5a3.5 3.5 0 0 1 5 0 3.5 3.5 0 0 1 0 5z',
    'M10 12l-1.5 1.5',
    'M13 15l-1.5 1.5',
  ],
  retry: ['M4 12a8 8 0 1 0 2.4-5.7L4 8.5', 'M4 4v4.5h4.5'],
  pause: ['M8 5v14', 'M16 5v14'],
  play: ['M7 4.5l12 7.5-12 7.5z'],
  star: ['M12 3.5l2.6 5.4 5.9.8-4.3 4.1 1.1 5.9-5.3-2.9-5.3 2.9 1.1-5.9-4.3-4.1 5.9-.8z'],
  search: ['M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z', 'M15.5 15.5L20.5 20.5'],
  up: ['M6 18L18 6', 'M9 6h9v9'],
  down: ['M6 6l12 12', 'M18 9v9H9'],
  bars: ['M5 20v-5', 'M10 20v-8', 'M15 20V4', 'M20 20v-6'],
  linked: ['M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z', 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z'],
} as const

export type IconName = keyof typeof shapes

/** An icon as large as its text. It says nothing to screen readers: the text beside it does. */
export function icon(name: IconName): SVGSVGElement {
  return drawing(
    'svg',
    { viewBox: '0 0 24 24', class: `icon icon-${name}`, 'aria-hidden': 'true', focusable: 'false' },
    ...shapes[name].map((d) => drawing('path', { d })),
  )
}
