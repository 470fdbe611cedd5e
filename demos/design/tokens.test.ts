import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const text = readFileSync(new URL('./tokens.css', import.meta.url), 'utf8')
const [lightText = '', darkText = ''] = text.split('@media (prefers-color-scheme: dark)')
const light = coloursOf(lightText)
const dark = new Map([...light, ...coloursOf(darkText.split('@media')[0] ?? '')])

/** What stands on what, in any page. */
const pairs: readonly (readonly [string, readonly string[]])[] = [
  ['text', ['page', 'surface', 'sunk']],
  ['text-soft', ['page', 'surface', 'sunk']],
  ['accent', ['page', 'surface', 'sunk']],
  ['accent-strong', ['surface', 'accent-wash']],
  ['on-accent', ['accent', 'accent-strong']],
  ['good', ['page', 'surface', 'good-wash']],
  ['warn', ['page', 'surface', 'warn-wash']],
  ['bad', ['page', 'surface', 'bad-wash']],
]

describe.each([
  ['light', light],
  ['dark', dark],
])('the %s colours', (_, colours) => {
  const ratio = (a: string, b: string): number => contrast(colours.get(a) ?? '', colours.get(b) ?? '')

  it.each(pairs.flatMap(([ink, grounds]) => grounds.map((ground) => [ink, ground] as const)))(
    'let %s be read on %s',
    (ink, ground) => {
      expect(ratio(ink, ground)).toBeGreaterThanOrEqual(4.5)
    },
  )

  // WCAG 2.2, 1.4.11: what tells a control from its ground.
  it.each(['line-strong', 'flow'])('let %s be told from the ground', (line) => {
    for (const ground of ['page', 'surface']) expect(ratio(line, ground)).toBeGreaterThanOrEqual(3)
  })
})

it('names in the dark only what it names in the light', () => {
  for (const name of coloursOf(darkText).keys()) expect([...light.keys()]).toContain(name)
})

function coloursOf(css: string): Map<string, string> {
  return new Map([...css.matchAll(/--([a-z-]+): (#[0-9a-f]{6});/g)].map(([, name = '', value = '']) => [name, value]))
}

/** Contrast as WCAG 2.2 defines it: of relative luminances, 1 to 21. */
function contrast(a: string, b: string): number {
  const [high = 0, low = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x)
  return (high + 0.05) / (low + 0.05)
}

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(colour.slice(at, at + 2), 16) / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}
