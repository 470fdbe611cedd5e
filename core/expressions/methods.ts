/**
 * The methods of the language as data: the check, the run time and the docs read this list and no other.
 * What is not here does not exist.
 */
export interface MethodSpec {
  readonly name: string
  /** Receivers that have it; on any other value the call is a TypeError. */
  readonly on: readonly Kind[]
  readonly cost: Cost
  readonly argsMin: number
  readonly argsMax: number
  /** Index of the argument that is an arrow function, or null. */
  readonly callback: number | null
  /** False when the callback may be left out. */
  readonly callbackNeeded: boolean
  /** Whether argument 0 may be (`maybe`) or must be (`must`) a regular expression literal. */
  readonly regex: 'no' | 'maybe' | 'must'
  readonly summary: string
}

/** What a value is, as far as methods are concerned. `jsdate` is JavaScript's own Date, `date` and `duration` are luxon's. */
export type Kind = 'string' | 'number' | 'boolean' | 'array' | 'object' | 'date' | 'duration' | 'jsdate' | 'regex'

/**
 * `cheap`: time and result in proportion to the receiver. `heavy`: may take or make much more, so that the whole
 * evaluation is put on a budget. `callback`: runs an arrow function, so likewise.
 */
export type Cost = 'cheap' | 'heavy' | 'callback'

const many = 32

function on(
  kinds: string,
  name: string,
  args: readonly [min: number, max: number],
  summary: string,
  more: Partial<Pick<MethodSpec, 'cost' | 'callback' | 'callbackNeeded' | 'regex'>> = {},
): MethodSpec {
  return {
    name,
    on: kinds.split(' ').filter(isKind),
    cost: more.callback === undefined || more.callback === null ? (more.cost ?? 'cheap') : 'callback',
    argsMin: args[0],
    argsMax: args[1],
    callback: more.callback ?? null,
    callbackNeeded: more.callbackNeeded ?? true,
    regex: more.regex ?? 'no',
    summary,
  }
}

function isKind(text: string): text is Kind {
  return kinds.has(text)
}

const kinds: ReadonlySet<string> = new Set<Kind>([
  'string',
  'number',
  'boolean',
  'array',
  'object',
  'date',
  'duration',
  'jsdate',
  'regex',
])
const heavy = { cost: 'heavy' } as const
const each = { callback: 0 } as const

export const methods: readonly MethodSpec[] = [
  // Text
  on('string', 'charAt', [0, 1], 'The character at a position, or nothing.'),
  on('string', 'charCodeAt', [0, 1], 'The UTF-16 code at a position.'),
  on('string', 'codePointAt', [0, 1], 'The Unicode code point at a position.'),
  on('string', 'endsWith', [1, 2], 'Whether the text ends with another.'),
  on('string', 'startsWith', [1, 2], 'Whether the text begins with another.'),
  on('string', 'substring', [1, 2], 'The part between two positions.'),
  on('string', 'substr', [1, 2], 'The part from a position, by length.'),
  on('string', 'toLowerCase', [0, 0], 'The text in small letters.'),
  on('string', 'toUpperCase', [0, 0], 'The text in capitals.'),
  on('string', 'toTitleCase', [0, 0], 'The text with a capital at the start of each word.'),
  on('string', 'toSentenceCase', [0, 0], 'The text in small letters with a capital at the start of each sentence.'),
  on('string', 'toSnakeCase', [0, 0], 'The text in small letters with `_` between the words.'),
  on('string', 'replaceSpecialChars', [0, 0], 'The text with plain letters for those with marks.', heavy),
  on('string', 'quote', [0, 1], 'The text in quotation marks, those within escaped.', heavy),
  on('string', 'removeTags', [0, 0], 'The text without tags of HTML or XML.', heavy),
  on('string', 'removeMarkdown', [0, 0], 'The text without the marks of Markdown.', heavy),
  on('string', 'isEmail', [0, 0], 'Whether the text is a mail address.'),
  on('string', 'isUrl', [0, 0], 'Whether the text is an http or https URL.'),
  on('string', 'isDomain', [0, 0], 'Whether the text is a domain.'),
  on('string', 'isNumeric', [0, 0], 'Whether the text is a number.'),
  on('string', 'extractEmail', [0, 0], 'The first mail address in the text, or undefined.', heavy),
  on('string', 'extractUrl', [0, 0], 'The first http or https URL in the text, or undefined.', heavy),
  on('string', 'extractDomain', [0, 0], 'The domain of a URL or mail address, or undefined.'),
  on('string', 'extractUrlPath', [0, 0], 'The path of a URL, or undefined.'),
  on('string', 'parseJson', [0, 0], 'The value behind JSON text.', heavy),
  on('string', 'base64Encode', [0, 0], 'The text as base64.', heavy),
  on('string', 'base64Decode', [0, 0], 'The text behind base64.', heavy),
  on(
    'string',
    'urlDecode',
    [0, 1],
    'The text behind a part of a URL; `true` leaves signs that divide URLs as they are.',
    heavy,
  ),
  on('string', 'hash', [0, 1], 'The hash of the text in hexadecimal digits: `md5`, or `sha256`, `sha512` ….', heavy),
  on('string', 'trim', [0, 0], 'The text without white space at its ends.'),
  on('string', 'trimStart', [0, 0], 'The text without white space at its start.'),
  on('string', 'trimEnd', [0, 0], 'The text without white space at its end.'),
  on('string', 'split', [0, 2], 'The parts between separators.', { regex: 'maybe', ...heavy }),
  on('string', 'match', [1, 1], 'What a pattern finds, or null.', { regex: 'must', ...heavy }),
  on('string', 'matchAll', [1, 1], 'All that a global pattern finds, as a list.', { regex: 'must', ...heavy }),
  on('string', 'search', [1, 1], 'The position of what a pattern finds, or -1.', { regex: 'must', ...heavy }),
  on('string', 'replace', [2, 2], 'The text with the first find, or all of a global pattern, replaced by text.', {
    regex: 'maybe',
    ...heavy,
  }),
  on('string', 'replaceAll', [2, 2], 'The text with all finds replaced by text.', { regex: 'maybe', ...heavy }),
  on('string', 'padStart', [1, 2], 'The text, filled up at its start.', heavy),
  on('string', 'padEnd', [1, 2], 'The text, filled up at its end.', heavy),
  on('string', 'repeat', [1, 1], 'The text so many times over.', heavy),
  on('string', 'normalize', [0, 1], 'The text in a Unicode normal form.', heavy),
  on('string', 'localeCompare', [1, 2], 'Order of two texts in a language: negative, 0 or positive.', heavy),
  on(
    'string boolean',
    'toNumber',
    [0, 0],
    'The number that a text stands for, an error when it stands for none; 1 for true, 0 for false.',
  ),
  on('string number boolean', 'toBoolean', [0, 0], 'False for 0, and for the texts `0`, `false`, `no` and none.'),
  on('string number boolean array object date', 'toJsonString', [0, 0], 'The value as JSON text.', heavy),
  on(
    'string object',
    'urlEncode',
    [0, 1],
    'Text for one part of a URL, with `true` for a whole one; of an object its query.',
    heavy,
  ),
  on(
    'string number date jsdate',
    'toDateTime',
    [0, 1],
    'The date that a text, milliseconds or a Date stands for; of a text in a format (`dd.MM.yyyy`), or of a number of `s`.',
    heavy,
  ),
  on('regex', 'test', [1, 1], 'Whether the pattern finds something in a text.', heavy),
  on('regex', 'exec', [1, 1], 'What the pattern finds in a text, or null.', heavy),
  // Text and lists
  on('string array', 'at', [1, 1], 'The character or item at a position; negative counts from the end.'),
  on('string array', 'concat', [0, many], 'Joined with more.'),
  on('string array', 'includes', [1, 2], 'Whether it holds a text or an item.'),
  on('string array', 'indexOf', [1, 2], 'The first position of a text or an item, or -1.'),
  on('string array', 'lastIndexOf', [1, 2], 'The last position of a text or an item, or -1.'),
  on('string array', 'slice', [0, 2], 'The part between two positions; negative ones count from the end.'),
  on('string array object date', 'isEmpty', [0, 0], 'Whether it has no characters, items or fields.'),
  on('string array object date', 'isNotEmpty', [0, 0], 'Whether it has characters, items or fields.'),
  // Lists
  on('array', 'map', [1, 1], 'What the callback makes of each item.', each),
  on('array', 'filter', [1, 1], 'The items for which the callback is true.', each),
  on('array', 'find', [1, 1], 'The first item for which the callback is true.', each),
  on('array', 'findIndex', [1, 1], 'Its position, or -1.', each),
  on('array', 'findLast', [1, 1], 'The last item for which the callback is true.', each),
  on('array', 'findLastIndex', [1, 1], 'Its position, or -1.', each),
  on('array', 'some', [1, 1], 'Whether the callback is true for an item.', each),
  on('array', 'every', [1, 1], 'Whether the callback is true for all items.', each),
  on('array', 'flatMap', [1, 1], 'What the callback makes of each item, lists opened.', each),
  on('array', 'reduce', [1, 2], 'All items folded into one value, from the left.', each),
  on('array', 'reduceRight', [1, 2], 'All items folded into one value, from the right.', each),
  on('array', 'sort', [0, 1], 'A sorted copy; without a callback by text.', { callback: 0, callbackNeeded: false }),
  on('array', 'toSorted', [0, 1], 'A sorted copy; without a callback by text.', { callback: 0, callbackNeeded: false }),
  on('array', 'reverse', [0, 0], 'A reversed copy.'),
  on('array', 'toReversed', [0, 0], 'A reversed copy.'),
  on('array', 'toSpliced', [1, many], 'A copy with items taken out and put in at a position.', heavy),
  on('array', 'with', [2, 2], 'A copy with another item at a position.'),
  on('array', 'flat', [0, 1], 'A copy with lists inside opened, one level or more.', heavy),
  on('array', 'fill', [1, 3], 'A copy with items replaced by one value.', heavy),
  on('array', 'join', [0, 1], 'The items as text with a separator between them.', heavy),
  on('array', 'first', [0, 0], 'The first item.'),
  on('array', 'last', [0, 0], 'The last item.'),
  on('array', 'sum', [0, 0], 'The sum of the numbers.'),
  on('array', 'average', [0, 0], 'The mean of the numbers; NaN for none.'),
  on('array', 'min', [0, 0], 'The smallest number.'),
  on('array', 'max', [0, 0], 'The largest number.'),
  on('array', 'unique', [0, many], 'The items without repetitions; with names, by these fields alone.', heavy),
  on('array', 'union', [1, 1], 'The items of both lists without repetitions.', heavy),
  on('array', 'difference', [1, 1], 'The items that the other list does not have.', heavy),
  on('array', 'intersection', [1, 1], 'The items that both lists have.', heavy),
  on('array', 'append', [1, many], 'A copy with items added at its end.', heavy),
  on(
    'array',
    'smartJoin',
    [2, 2],
    'An object of the objects of the list: the field that names, the field that is its value.',
    heavy,
  ),
  on('array', 'mergeIntoObject', [0, 1], 'One object of the fields of all objects of both lists.', heavy),
  on('array', 'renameKeys', [2, many], 'A copy with fields of its objects renamed: `renameKeys(from, to)`.', heavy),
  on('array object', 'compact', [0, 0], 'The items or fields without null, undefined and empty text.', heavy),
  on('array', 'chunk', [1, 1], 'Lists of so many items each.'),
  on('array', 'pluck', [1, 1], 'The field of that name of each item that has it.'),
  // Numbers and others
  on(
    'number date',
    'format',
    [0, 2],
    'A number as text in a language, `en-US` when left out; a date the same as `toFormat`.',
    heavy,
  ),
  on('number', 'isInteger', [0, 0], 'Whether the number is whole.'),
  on('number', 'isEven', [0, 0], 'Whether a whole number is even.'),
  on('number', 'isOdd', [0, 0], 'Whether a whole number is odd.'),
  on('number', 'toFixed', [0, 1], 'The number as text with so many decimals.'),
  on('number', 'toPrecision', [0, 1], 'The number as text with so many digits.'),
  on('number', 'toExponential', [0, 1], 'The number as text with an exponent.'),
  on('number', 'round', [0, 1], 'The number rounded to so many decimals.'),
  on('number', 'floor', [0, 0], 'The next lower whole number.'),
  on('number', 'ceil', [0, 0], 'The next higher whole number.'),
  on('number', 'abs', [0, 0], 'The number without its sign.'),
  on('number date jsdate', 'toLocaleString', [0, 2], 'The value as text in a language, e.g. `de-DE`.', heavy),
  on('object', 'hasOwnProperty', [1, 1], 'Whether the object has the field.'),
  on('object', 'hasField', [1, 1], 'Whether the object has the field.'),
  on('object', 'keys', [0, 0], 'The names of the fields.', heavy),
  on('object', 'values', [0, 0], 'The values of the fields.', heavy),
  on('object', 'removeField', [1, 1], 'A copy without the field.', heavy),
  on('object', 'removeFieldsContaining', [1, 1], 'A copy without the fields whose text has this part.', heavy),
  on('object', 'keepFieldsContaining', [1, 1], 'A copy with the fields alone whose text has this part.', heavy),
  on(
    'string number boolean array date duration jsdate',
    'toString',
    [0, 1],
    'The value as text; a number also to a base.',
  ),
  on('string number boolean date duration jsdate', 'valueOf', [0, 0], 'The plain value; of a date its milliseconds.'),
  // Dates
  on('date duration', 'plus', [1, 2], 'Later or longer: `plus({ days: 1 })` or `plus(1, "day")`.', heavy),
  on('date duration', 'minus', [1, 2], 'Earlier or shorter.', heavy),
  on('date', 'startOf', [1, 1], 'The start of the `day`, `week`, `month` …', heavy),
  on('date', 'endOf', [1, 1], 'The end of the `day`, `week`, `month` …', heavy),
  on('date', 'set', [1, 1], 'With other parts: `set({ hour: 8 })`.', heavy),
  on('date', 'setZone', [1, 1], 'The same moment in another time zone.', heavy),
  on('date', 'toUTC', [0, 0], 'The same moment in UTC.', heavy),
  on('date', 'toLocal', [0, 0], "The same moment in the host's time zone.", heavy),
  on('date', 'setLocale', [1, 1], 'The same moment, written in another language.', heavy),
  on('date duration', 'toISO', [0, 0], 'ISO 8601 text.', heavy),
  on('date', 'toISODate', [0, 0], 'The date part of it.', heavy),
  on('date', 'toISOTime', [0, 0], 'The time part of it.', heavy),
  on('date duration', 'toFormat', [1, 1], 'Text by a format such as `yyyy-MM-dd`.', heavy),
  on('date duration', 'toMillis', [0, 0], 'Milliseconds.'),
  on('date', 'toSeconds', [0, 0], 'Seconds since 1970.'),
  on('date', 'toUnixInteger', [0, 0], 'Whole seconds since 1970.'),
  on('date duration', 'toObject', [0, 0], 'The parts as an object.', heavy),
  on('date duration jsdate', 'toJSON', [0, 0], 'ISO 8601 text.'),
  on('date', 'toHTTP', [0, 0], 'Text as HTTP headers use it.', heavy),
  on('date', 'toSQL', [0, 0], 'Text as SQL uses it.', heavy),
  on('date', 'diff', [1, 2], 'The duration from another date to this one, in units.', heavy),
  on(
    'date',
    'diffTo',
    [1, 2],
    'The difference to another date as a number of `days` or another unit; of several, as an object.',
    heavy,
  ),
  on('date', 'isBetween', [2, 2], 'Whether the date lies between two others.', heavy),
  on('date', 'extract', [0, 1], 'A part as a number: `year`, `week`, `hour` ….'),
  on('date', 'hasSame', [2, 2], 'Whether both lie in the same `day`, `month` …', heavy),
  on('date duration', 'equals', [1, 1], 'Whether both are the same in all parts.', heavy),
  on('duration', 'as', [1, 1], 'The length in one unit.', heavy),
  on('duration', 'shiftTo', [1, many], 'The length in other units.', heavy),
  on('duration', 'toHuman', [0, 1], 'Text for people.', heavy),
  on('duration', 'negate', [0, 0], 'The same length backwards.', heavy),
  on('jsdate', 'toISOString', [0, 0], 'ISO 8601 text.', heavy),
  on('jsdate', 'getTime', [0, 0], 'Milliseconds since 1970.'),
  ...['FullYear', 'Month', 'Date', 'Day', 'Hours', 'Minutes', 'Seconds', 'Milliseconds'].flatMap((part) => [
    on('jsdate', `get${part}`, [0, 0], 'As in JavaScript.'),
    on('jsdate', `getUTC${part}`, [0, 0], 'As in JavaScript.'),
  ]),
]

/** Methods of JavaScript that are left out on purpose, each with what to write instead. */
export const replacements: ReadonlyMap<string, string> = new Map([
  ['push', 'Write [...list, item]; an expression changes nothing in place.'],
  ['unshift', 'Write [item, ...list]; an expression changes nothing in place.'],
  ['pop', 'Write list.slice(0, -1) for the rest or list.at(-1) for the item.'],
  ['shift', 'Write list.slice(1) for the rest or list.at(0) for the item.'],
  ['splice', 'Write list.toSpliced(…); an expression changes nothing in place.'],
  ['forEach', 'Write map, filter or reduce; an expression has no side effects.'],
  ['call', 'Call the method on its value.'],
  ['apply', 'Call the method on its value, with ...list for the arguments.'],
  ['bind', 'Call the method on its value.'],
  ['randomItem', 'Choose by something of the message, such as list[$json.id % list.length].'],
  ['removeDuplicates', 'Write unique().'],
  ['merge', 'Write mergeIntoObject(other).'],
  ['toInt', 'Write toNumber().floor() or parseInt(text).'],
  ['toFloat', 'Write toNumber() or parseFloat(text).'],
  ['toWholeNumber', 'Write toNumber().round().'],
  ['toDecimalNumber', 'Write toNumber().'],
  ['toDate', 'Write toDateTime().'],
  ['length', 'Write text.length.'],
  ['beginningOf', 'Write startOf(unit).'],
  ['endOfMonth', 'Write endOf("month").'],
  ['diffToNow', 'Write diffTo($now, unit).'],
  ['isInLast', 'Write isBetween($now.minus(1, unit), $now).'],
  ['isWeekend', 'Write weekday > 5.'],
  ['isDst', 'Compare offset with that of another date.'],
  ['all', 'An expression sees one message: read $json; collect several with a window or batch node.'],
])

export const methodByName: ReadonlyMap<string, MethodSpec> = new Map(methods.map((method) => [method.name, method]))
