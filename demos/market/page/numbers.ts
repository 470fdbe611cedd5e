const price = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 })
const percent = new Intl.NumberFormat('en', {
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
  signDisplay: 'exceptZero',
})
const compact = new Intl.NumberFormat('en', {
  notation: 'compact',
  minimumSignificantDigits: 3,
  maximumSignificantDigits: 3,
})
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })

/** `1,184.20` */
export const priceText = (value: number): string => price.format(value)
/** `+0.42 %`, with a real minus below 0. */
export const percentText = (value: number): string => `${percent.format(value).replace('-', '−')}\u202f%`
/** `1.24M` */
export const compactText = (value: number): string => compact.format(value)
/** `14:03:27` */
export const clockText = (ms: number): string => clock.format(ms)
