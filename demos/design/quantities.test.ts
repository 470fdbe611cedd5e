import { describe, expect, it } from 'vitest'
import { bytes, count, counted, percent, place, rate, span } from './quantities.ts'

/** As they are read aloud: the narrow space before the unit is a plain one here. */
const plain = (text: string): string => text.replaceAll('\u202f', ' ')

describe('quantities', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [4_135_000, '4.14 MB'],
    [99_960_000, '100 MB'],
    [999_600_000, '1.00 GB'],
    [8e15, '8,000 TB'],
  ])('shows %d bytes as %s', (given, text) => {
    expect(plain(bytes(given))).toBe(text)
  })

  it.each([
    [null, '–'],
    [0, '0 ms'],
    [999.4, '999 ms'],
    [999.6, '1.00 s'],
    [12_340, '12.3 s'],
    [59_999, '1 min 0 s'],
    [125_000, '2 min 5 s'],
    [7_200_000, '2 h 0 min'],
  ])('shows %s milliseconds as %s', (given, text) => {
    expect(plain(span(given))).toBe(text)
  })

  it.each([
    [0, '0:00.0'],
    [61_250, '1:01.2'],
    [3_599_999, '59:59.9'],
    [7_199_999, '1:59:59'],
  ])('shows the place %d as %s', (given, text) => {
    expect(place(given)).toBe(text)
  })

  it('shows rates, counts and shares', () => {
    expect([rate(null), rate(0), rate(0.5), rate(1234)].map(plain)).toStrictEqual(['–', '0 /s', '0.50 /s', '1,234 /s'])
    expect([count(1204), plain(percent(0.999))]).toStrictEqual(['1,204', '99 %'])
    expect([0, 1, 1204].map((value) => counted(value, 'thumbnail'))).toStrictEqual([
      '0 thumbnails',
      '1 thumbnail',
      '1,204 thumbnails',
    ])
  })
})
