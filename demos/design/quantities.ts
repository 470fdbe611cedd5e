/** Figures as people read them, always with their unit. A narrow no-break space stands before it. */
const space = '\u202f'
const none = '–'

/** `4.13 MB` */
export function bytes(count: number): string {
  if (count < 1000) return `${count}${space}B`
  const units = ['kB', 'MB', 'GB', 'TB']
  let value = count / 1000
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${three(value)}${space}${units[unit]}`
}

/** `840 µs` is never needed here: `12 ms`, `1.24 s`, `2 min 5 s`. */
export function span(ms: number | null): string {
  if (ms === null) return none
  if (ms < 999.5) return `${Math.round(ms)}${space}ms`
  if (ms < 59_995) return `${three(ms / 1000)}${space}s`
  const seconds = Math.round(ms / 1000)
  const hours = Math.floor(seconds / 3600)
  const minutes = Math.floor((seconds % 3600) / 60)
  return hours > 0 ? `${hours}${space}h ${minutes}${space}min` : `${minutes}${space}min ${seconds % 60}${space}s`
}

/** A place in a video: `0:04.2`, `1:02:10`; tenths only where they tell something. */
export function place(ms: number, tenths = true): string {
  const whole = Math.floor(ms / 1000)
  const hours = Math.floor(whole / 3600)
  const minutes = Math.floor((whole % 3600) / 60)
  const seconds = String(whole % 60).padStart(2, '0')
  const clock = hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${seconds}` : `${minutes}:${seconds}`
  return tenths && hours === 0 ? `${clock}.${Math.floor((ms % 1000) / 100)}` : clock
}

/** `27.3 /s` of a rate per second. */
export function rate(perSecond: number | null): string {
  if (perSecond === null) return none
  return `${perSecond < 0.05 ? '0' : three(perSecond)}${space}/s`
}

/** `1,204` */
export function count(value: number): string {
  return value.toLocaleString('en')
}

/** `1 thumbnail`, `1,204 thumbnails` */
export function counted(value: number, thing: string): string {
  return `${count(value)} ${thing}${value === 1 ? '' : 's'}`
}

/** `42 %` */
export function percent(share: number): string {
  return `${Math.floor(share * 100)}${space}%`
}

/** Three figures that count: 4.13, 41.3, 413, 4,130. */
function three(value: number): string {
  const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}
