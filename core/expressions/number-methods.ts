import { dateOfNumber } from './date-methods.ts'
import { shownArgument } from './runtime.ts'
import { toJsonString } from './text-codes.ts'

type NumberMethod = (number: number, ...args: readonly unknown[]) => unknown

/** The methods of numbers, by name. */
export const numberMethods: Readonly<Record<string, NumberMethod>> = {
  toFixed: (number, digits) => {
    try {
      return number.toFixed(Number(digits ?? 0))
    } catch (error) {
      throw outOfRange(error, 'toFixed needs 0 to 100 digits', digits)
    }
  },
  toPrecision: (number, digits) => {
    try {
      return number.toPrecision(digits === undefined ? undefined : Number(digits))
    } catch (error) {
      throw outOfRange(error, 'toPrecision needs 1 to 100 digits', digits)
    }
  },
  toExponential: (number, digits) => {
    try {
      return number.toExponential(digits === undefined ? undefined : Number(digits))
    } catch (error) {
      throw outOfRange(error, 'toExponential needs 0 to 100 digits', digits)
    }
  },
  round,
  floor: (number) => Math.floor(number),
  ceil: (number) => Math.ceil(number),
  abs: (number) => Math.abs(number),
  toLocaleString: (number: number, locale: unknown, options: unknown) =>
    number.toLocaleString(locale === undefined ? undefined : String(locale), numberFormat(options)),
  toString: (number: number, base: unknown) => {
    try {
      return number.toString(base === undefined ? undefined : Number(base))
    } catch (error) {
      throw outOfRange(error, 'toString needs a base from 2 to 36', base)
    }
  },
  valueOf: (number: number) => number,
  toDateTime: (number, unit) => dateOfNumber(number, unit),
  toBoolean: (number) => number !== 0,
  toJsonString,
  isInteger: (number) => Number.isInteger(number),
  isEven: (number) => wholeNumber(number, 'isEven') % 2 === 0,
  isOdd: (number) => wholeNumber(number, 'isOdd') % 2 !== 0,
  format: (number, locale, options) =>
    number.toLocaleString(locale === undefined ? 'en-US' : String(locale), numberFormat(options)),
}

function wholeNumber(number: number, method: string): number {
  if (Number.isInteger(number)) return number
  throw new TypeError(`${method} needs a whole number, not ${number}.`)
}

/** JavaScript's own RangeError says neither which value it got, nor in which method of the expression. */
function outOfRange(error: unknown, needs: string, value: unknown): unknown {
  return error instanceof RangeError ? new RangeError(`${needs}, not ${shownArgument(value)}.`) : error
}

function round(number: number, decimals: unknown): number {
  const places = Math.trunc(Number(decimals ?? 0)) || 0
  const unit = 10 ** Math.abs(places)
  if (places < 0 && unit === Infinity) return 0
  const scaled = places < 0 ? number / unit : number * unit
  // Beyond this a number has no digits after the places, and scaling back would only lose some before them.
  if (!(Math.abs(scaled) < 2 ** 52)) return number
  return places < 0 ? Math.round(scaled) * unit : Math.round(scaled) / unit
}

function numberFormat(options: unknown): Intl.NumberFormatOptions {
  if (typeof options !== 'object' || options === null) return {}
  return Object.fromEntries(Object.entries(options).filter(([, value]) => typeof value !== 'object'))
}
