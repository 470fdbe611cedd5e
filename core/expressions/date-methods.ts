import type { DateTime, DateTimeUnit, Duration, DurationUnit } from 'luxon'
import { isDateTime, isDuration, luxon } from './dates.ts'
import { limits } from './limits.ts'
import { describeValue, shownArgument } from './runtime.ts'
import { toJsonString } from './text-codes.ts'

type DateMethod = (date: DateTime, ...args: readonly unknown[]) => unknown
type DurationMethod = (duration: Duration, ...args: readonly unknown[]) => unknown

/** The methods of luxon's DateTime that the language has. Arguments are checked here: luxon trusts its callers. */
export const dateMethods: Readonly<Record<string, DateMethod>> = {
  plus: (date, amount, unit) => date.plus(durationOf(amount, unit)),
  minus: (date, amount, unit) => date.minus(durationOf(amount, unit)),
  startOf: (date, unit) => date.startOf(dateUnit(unit)),
  endOf: (date, unit) => date.endOf(dateUnit(unit)),
  set: (date, parts) => date.set(numbersOf(parts, 'set')),
  setZone: (date, zone) => date.setZone(dateText(zone, 'setZone')),
  toUTC: (date) => date.toUTC(),
  toLocal: (date) => date.toLocal(),
  setLocale: (date, locale) => date.setLocale(dateText(locale, 'setLocale')),
  toISO: (date) => date.toISO(),
  toISODate: (date) => date.toISODate(),
  toISOTime: (date) => date.toISOTime(),
  toFormat: (date, format) => date.toFormat(dateText(format, 'toFormat')),
  format: (date, format) => date.toFormat(dateText(format ?? 'yyyy-MM-dd', 'format')),
  toMillis: (date) => date.toMillis(),
  toSeconds: (date) => date.toSeconds(),
  toUnixInteger: (date) => date.toUnixInteger(),
  toObject: (date) => date.toObject(),
  toJSON: (date) => date.toJSON(),
  toHTTP: (date) => date.toHTTP(),
  toSQL: (date) => date.toSQL(),
  toString: (date: DateTime) => date.toString(),
  valueOf: (date: DateTime) => date.valueOf(),
  toLocaleString: (date: DateTime, first: unknown, second: unknown) => {
    // The language comes first, as JavaScript has it, or last and in an object, as luxon has it.
    const options = typeof first === 'string' ? second : first
    const { locale } = typeof first === 'string' ? { locale: dateText(first, 'toLocaleString') } : zoneOf(second)
    return date.toLocaleString(formatOptions(options), locale === undefined ? {} : { locale })
  },
  diff: (date, other, units) => date.diff(dateOf(other, 'diff'), durationUnits(units)),
  hasSame: (date, other, unit) => date.hasSame(dateOf(other, 'hasSame'), dateUnit(unit)),
  equals: (date, other) => date.equals(dateOf(other, 'equals')),
  diffTo: (date, other, units) =>
    lengthIn(date.diff(dateOf(other, 'diffTo'), durationUnits(units ?? 'days')), units ?? 'days'),
  isBetween: (date, from, to) => {
    const [first = 0, last = 0] = [dateOf(from, 'isBetween').toMillis(), dateOf(to, 'isBetween').toMillis()].sort(
      (a, b) => a - b,
    )
    return date.toMillis() > first && date.toMillis() < last
  },
  extract: (date, part) => partOf(date, part ?? 'week'),
  toDateTime: (date) => date,
  toJsonString,
  isEmpty: () => false,
  isNotEmpty: () => true,
}

/** The methods of luxon's Duration. */
export const durationMethods: Readonly<Record<string, DurationMethod>> = {
  plus: (duration, amount, unit) => duration.plus(durationOf(amount, unit)),
  minus: (duration, amount, unit) => duration.minus(durationOf(amount, unit)),
  as: (duration, unit) => duration.as(durationUnit(unit)),
  shiftTo: (duration, ...units) => duration.shiftTo(...units.map(durationUnit)),
  toObject: (duration) => duration.toObject(),
  toISO: (duration) => duration.toISO(),
  toJSON: (duration) => duration.toJSON(),
  toMillis: (duration) => duration.toMillis(),
  toFormat: (duration, format) => duration.toFormat(dateText(format, 'toFormat')),
  toHuman: (duration) => duration.toHuman(),
  negate: (duration) => duration.negate(),
  equals: (duration, other) => duration.equals(durationOf(other, undefined)),
  toString: (duration: Duration) => duration.toString(),
  valueOf: (duration: Duration) => duration.valueOf(),
}

const getters = ['FullYear', 'Month', 'Date', 'Day', 'Hours', 'Minutes', 'Seconds', 'Milliseconds'] as const

/** The methods of JavaScript's own Date, which only connectors make. */
export const jsDateMethods: Readonly<Record<string, (date: Date, ...args: readonly unknown[]) => unknown>> = {
  toISOString: (date) => date.toISOString(),
  toJSON: (date) => date.toJSON(),
  toString: (date: Date) => date.toString(),
  toLocaleString: (date: Date, locale: unknown) =>
    date.toLocaleString(locale === undefined ? undefined : dateText(locale, 'toLocaleString')),
  valueOf: (date: Date) => date.getTime(),
  getTime: (date) => date.getTime(),
  toDateTime: (date) => luxon().DateTime.fromJSDate(date),
  ...Object.fromEntries(getters.map((part) => [`get${part}`, (date: Date) => date[`get${part}`]()])),
  ...Object.fromEntries(getters.map((part) => [`getUTC${part}`, (date: Date) => date[`getUTC${part}`]()])),
}

/** The functions whose names begin with `DateTime.` and `Duration.`. */
export const dateFunctions: Readonly<Record<string, (...args: readonly unknown[]) => unknown>> = {
  'DateTime.fromISO': (text, options) => luxon().DateTime.fromISO(dateText(text, 'DateTime.fromISO'), zoneOf(options)),
  'DateTime.fromFormat': (text, format, options) =>
    luxon().DateTime.fromFormat(
      dateText(text, 'DateTime.fromFormat'),
      dateText(format, 'DateTime.fromFormat'),
      zoneOf(options),
    ),
  'DateTime.fromMillis': (time, options) =>
    luxon().DateTime.fromMillis(numberOf(time, 'DateTime.fromMillis'), zoneOf(options)),
  'DateTime.fromSeconds': (time, options) =>
    luxon().DateTime.fromSeconds(numberOf(time, 'DateTime.fromSeconds'), zoneOf(options)),
  'DateTime.fromObject': (parts, options) =>
    luxon().DateTime.fromObject(numbersOf(parts, 'DateTime.fromObject'), zoneOf(options)),
  'DateTime.fromSQL': (text, options) => luxon().DateTime.fromSQL(dateText(text, 'DateTime.fromSQL'), zoneOf(options)),
  'DateTime.fromHTTP': (text, options) =>
    luxon().DateTime.fromHTTP(dateText(text, 'DateTime.fromHTTP'), zoneOf(options)),
  'DateTime.fromRFC2822': (text, options) =>
    luxon().DateTime.fromRFC2822(dateText(text, 'DateTime.fromRFC2822'), zoneOf(options)),
  'Duration.fromObject': (parts) => luxon().Duration.fromObject(numbersOf(parts, 'Duration.fromObject')),
  'Duration.fromISO': (text) => luxon().Duration.fromISO(dateText(text, 'Duration.fromISO')),
  'Duration.fromMillis': (time) => luxon().Duration.fromMillis(numberOf(time, 'Duration.fromMillis')),
}

/** The date of a text: ISO, SQL, HTTP or mail form; with a format, in that, or counted in the `s`, `ms` or `us` since 1970. */
export function dateOfText(text: string, format: unknown): DateTime {
  const value = dateText(text, 'toDateTime')
  const { DateTime } = luxon()
  if (format !== undefined) {
    const form = dateText(format, 'toDateTime')
    return validDate(unitMs.has(form) ? dateOfNumber(Number(value), form) : DateTime.fromFormat(value, form))
  }
  const forms = [DateTime.fromISO, DateTime.fromSQL, DateTime.fromRFC2822, DateTime.fromHTTP]
  const dates = forms.map((read) => read(value))
  return validDate(dates.find((date) => date.isValid))
}

function validDate(date: DateTime | undefined): DateTime {
  if (date?.isValid === true) return date
  throw new TypeError('toDateTime found a text that is no date in this form.')
}

/** The date of a number of milliseconds since 1970, or of another unit: `s`, `us`, or `excel` for days of a sheet. */
export function dateOfNumber(number: number, unit: unknown): DateTime {
  const { DateTime } = luxon()
  // A sheet counts days from 1899-12-30, whatever the zone.
  if (unit === 'excel') return DateTime.fromMillis((number - 25_569) * 86_400_000, { zone: 'utc' })
  const ms = unit === undefined ? 1 : unitMs.get(String(unit))
  if (ms === undefined) throw new TypeError(`toDateTime counts in s, ms, us or excel, not ${shownArgument(unit)}.`)
  return DateTime.fromMillis(number * ms)
}

const unitMs: ReadonlyMap<string, number> = new Map([
  ['s', 1_000],
  ['ms', 1],
  ['us', 0.001],
])

/** In one unit a number, in several an object. */
function lengthIn(duration: Duration, units: unknown): unknown {
  return Array.isArray(units) ? duration.toObject() : duration.as(durationUnit(units))
}

const dateParts = [
  'year',
  'quarter',
  'month',
  'week',
  'weekNumber',
  'day',
  'weekday',
  'ordinal',
  'hour',
  'minute',
  'second',
  'millisecond',
] as const

function partOf(date: DateTime, part: unknown): number {
  const name = dateParts.find((each) => each === part || `${each}s` === part)
  if (name === undefined)
    throw new TypeError(`extract needs one of ${dateParts.join(', ')}, not ${shownArgument(part)}.`)
  return name === 'week' ? date.weekNumber : date[name]
}

const dateUnits = ['year', 'quarter', 'month', 'week', 'day', 'hour', 'minute', 'second', 'millisecond'] as const

function dateUnit(value: unknown): DateTimeUnit {
  const found = dateUnits.find((unit) => unit === value || `${unit}s` === value)
  if (found === undefined)
    throw new TypeError(`A date unit is one of ${dateUnits.join(', ')}; this is ${shownArgument(value)}.`)
  return found
}

function durationUnit(value: unknown): DurationUnit {
  return dateUnit(value)
}

function durationUnits(value: unknown): DurationUnit[] {
  if (value === undefined) return ['milliseconds']
  return Array.isArray(value) ? value.slice(0, dateUnits.length).map(durationUnit) : [durationUnit(value)]
}

function durationOf(amount: unknown, unit: unknown): Duration {
  if (isDuration(amount)) return amount
  const { Duration } = luxon()
  if (typeof amount === 'number')
    return Duration.fromObject({ [unit === undefined ? 'milliseconds' : durationUnit(unit)]: amount })
  return Duration.fromObject(numbersOf(amount, 'A duration'))
}

function numbersOf(value: unknown, purpose: string): Record<string, number> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError(`${purpose} needs an object such as { days: 1 }, not ${describeValue(value)}.`)
  return Object.fromEntries(Object.entries(value).map(([name, number]) => [name, Number(number)]))
}

function numberOf(value: unknown, purpose: string): number {
  if (typeof value === 'number') return value
  throw new TypeError(`${purpose} needs a number, not ${describeValue(value)}.`)
}

function zoneOf(options: unknown): { zone?: string; setZone?: boolean; locale?: string } {
  if (typeof options !== 'object' || options === null) return {}
  const fields = new Map<string, unknown>(Object.entries(options))
  const zone = fields.get('zone')
  const locale = fields.get('locale')
  return {
    ...(zone === undefined ? {} : { zone: dateText(zone, 'zone') }),
    ...(locale === undefined ? {} : { locale: dateText(locale, 'locale') }),
    ...(fields.get('setZone') === true ? { setZone: true } : {}),
  }
}

/** Intl checks the values of its options itself; here only what is not plain is kept out. */
function formatOptions(options: unknown): Intl.DateTimeFormatOptions {
  if (typeof options !== 'object' || options === null) return {}
  return Object.fromEntries(Object.entries(options).filter(([, value]) => typeof value !== 'object'))
}

/** The date that a value stands for: a date itself, a Date, milliseconds, or ISO text. Throws a TypeError for others. */
function dateOf(value: unknown, purpose: string): DateTime {
  if (isDateTime(value)) return value
  const { DateTime } = luxon()
  if (value instanceof Date) return DateTime.fromJSDate(value)
  if (typeof value === 'number') return DateTime.fromMillis(value)
  if (typeof value === 'string') return DateTime.fromISO(dateText(value, purpose))
  throw new TypeError(`${purpose} needs a date, milliseconds or ISO text, not ${describeValue(value)}.`)
}

/** A text for the date library, within the limit. Throws a TypeError for anything else. */
function dateText(value: unknown, purpose: string): string {
  if (typeof value !== 'string') throw new TypeError(`${purpose} needs a text, not ${describeValue(value)}.`)
  if (value.length > limits.dateTextCharsMax)
    throw new TypeError(`${purpose} takes at most ${limits.dateTextCharsMax} characters, not ${value.length}.`)
  return value
}
