import type { Cost } from './methods.ts'

/** The functions of the language and the names that stand for numbers, as data. What is not here does not exist. */
export interface FunctionSpec {
  /** The full name, e.g. `Math.max`. */
  readonly name: string
  readonly cost: Cost
  readonly argsMin: number
  readonly argsMax: number
  readonly callback: number | null
  readonly summary: string
}

const many = 32
const heavy = { cost: 'heavy' } as const

function plain(
  name: string,
  args: readonly [min: number, max: number],
  summary: string,
  more: Partial<Pick<FunctionSpec, 'cost' | 'callback'>> = {},
): FunctionSpec {
  const callback = more.callback ?? null
  const cost = callback === null ? (more.cost ?? 'cheap') : 'callback'
  return { name, cost, argsMin: args[0], argsMax: args[1], callback, summary }
}

const oneNumber =
  'abs acos acosh asin asinh atan atanh cbrt ceil clz32 cos cosh exp expm1 floor fround log log10 log1p log2 round sign sin sinh sqrt tan tanh trunc'

export const functions: readonly FunctionSpec[] = [
  plain('Number', [0, 1], 'The value as a number.'),
  plain('String', [0, 1], 'The value as text.'),
  plain('Boolean', [0, 1], 'Whether the value counts as true.'),
  plain('parseInt', [1, 2], 'The whole number at the start of a text, to a base.'),
  plain('parseFloat', [1, 1], 'The number at the start of a text.'),
  plain('isNaN', [1, 1], 'Whether the value is not a number.'),
  plain('isFinite', [1, 1], 'Whether the value is a finite number.'),
  plain('encodeURIComponent', [1, 1], 'Text for one part of a URL.'),
  plain('decodeURIComponent', [1, 1], 'The text behind it.'),
  plain('encodeURI', [1, 1], 'Text for a whole URL.'),
  plain('decodeURI', [1, 1], 'The text behind it.'),
  plain(
    'JSON.stringify',
    [1, 3],
    'The value as JSON text, in which bytes are base64; the second argument is null, the third an indent.',
  ),
  plain('JSON.parse', [1, 1], 'The value behind JSON text.'),
  plain('Object.keys', [1, 1], 'The names of the fields.'),
  plain('Object.values', [1, 1], 'The values of the fields.'),
  plain('Object.entries', [1, 1], 'Pairs of name and value.'),
  plain('Object.fromEntries', [1, 1], 'An object of pairs of name and value.'),
  plain('Object.assign', [1, many], 'A new object with the fields of all; nothing is changed in place.'),
  plain('Object.hasOwn', [2, 2], 'Whether the object has the field.'),
  plain('Object.groupBy', [2, 2], 'The items of a list, grouped by what the callback answers.', { callback: 1 }),
  plain('Array.isArray', [1, 1], 'Whether the value is a list.'),
  plain('Array.of', [0, many], 'A list of the arguments.'),
  plain('Array.from', [1, 2], 'A list of a list, a text or `{ length }`, perhaps through a callback.', { callback: 1 }),
  plain('String.fromCharCode', [0, many], 'Text of UTF-16 codes.'),
  plain('String.fromCodePoint', [0, many], 'Text of Unicode code points.'),
  plain('Number.isInteger', [1, 1], 'Whether the value is a whole number.'),
  plain('Number.isSafeInteger', [1, 1], 'Whether the value is a whole number that is exact.'),
  plain('Number.isFinite', [1, 1], 'Whether the value is a finite number.'),
  plain('Number.isNaN', [1, 1], 'Whether the value is NaN.'),
  plain('Number.parseInt', [1, 2], 'The same as `parseInt`.'),
  plain('Number.parseFloat', [1, 1], 'The same as `parseFloat`.'),
  plain('Date.now', [0, 0], 'The time of the batch in milliseconds.'),
  plain('Date.parse', [1, 1], 'The milliseconds that a date text stands for.'),
  plain('Date.UTC', [1, 7], 'The milliseconds of year, month from 0, day …'),
  plain('Math.atan2', [2, 2], 'The angle of a point.'),
  plain('Math.hypot', [0, many], 'The square root of the sum of squares.'),
  plain('Math.imul', [2, 2], 'A 32-bit product.'),
  plain('Math.max', [0, many], 'The largest.'),
  plain('Math.min', [0, many], 'The smallest.'),
  plain('Math.pow', [2, 2], 'A power.'),
  ...oneNumber.split(' ').map((name) => plain(`Math.${name}`, [1, 1], 'As in JavaScript.')),
  plain('DateTime.fromISO', [1, 2], 'The date of an ISO 8601 text.', heavy),
  plain('DateTime.fromFormat', [2, 3], 'The date of a text in a format.', heavy),
  plain('DateTime.fromMillis', [1, 2], 'The date of milliseconds since 1970.', heavy),
  plain('DateTime.fromSeconds', [1, 2], 'The date of seconds since 1970.', heavy),
  plain('DateTime.fromObject', [1, 2], 'The date of `{ year, month, day … }`.', heavy),
  plain('DateTime.fromSQL', [1, 2], 'The date of an SQL text.', heavy),
  plain('DateTime.fromHTTP', [1, 2], 'The date of an HTTP header.', heavy),
  plain('DateTime.fromRFC2822', [1, 2], 'The date of a mail header.', heavy),
  plain('Duration.fromObject', [1, 1], 'The length of `{ hours, minutes … }`.', heavy),
  plain('Duration.fromISO', [1, 1], 'The length of an ISO 8601 text such as `PT1H`.', heavy),
  plain('Duration.fromMillis', [1, 1], 'The length of milliseconds.', heavy),
  plain('$if', [2, 3], 'The second value where the first counts as true, and the third otherwise.'),
  plain('$min', [0, many], 'The smallest.'),
  plain('$max', [0, many], 'The largest.'),
  plain(
    '$ifEmpty',
    [2, 2],
    'The first value, or the second when the first is null, undefined, or empty text, list or object.',
  ),
]

/** Names that stand for numbers. */
export const constants: ReadonlyMap<string, number> = new Map([
  ['Math.E', Math.E],
  ['Math.LN10', Math.LN10],
  ['Math.LN2', Math.LN2],
  ['Math.LOG10E', Math.LOG10E],
  ['Math.LOG2E', Math.LOG2E],
  ['Math.PI', Math.PI],
  ['Math.SQRT1_2', Math.SQRT1_2],
  ['Math.SQRT2', Math.SQRT2],
  ['Number.EPSILON', Number.EPSILON],
  ['Number.MAX_SAFE_INTEGER', Number.MAX_SAFE_INTEGER],
  ['Number.MIN_SAFE_INTEGER', Number.MIN_SAFE_INTEGER],
  ['Number.MAX_VALUE', Number.MAX_VALUE],
  ['Number.MIN_VALUE', Number.MIN_VALUE],
])

/** Functions that may stand for a callback by their name alone, as in `.filter(Boolean)`. */
export const callbackFunctions: ReadonlySet<string> = new Set(['Boolean', 'Number', 'String'])

export const functionByName: ReadonlyMap<string, FunctionSpec> = new Map(functions.map((each) => [each.name, each]))
/** `Math`, `JSON` … : what stands before the dot of a function. */
export const namespaces: ReadonlySet<string> = new Set(
  [...functionByName.keys(), ...constants.keys()]
    .filter((name) => name.includes('.'))
    .map((name) => name.split('.')[0] ?? ''),
)
