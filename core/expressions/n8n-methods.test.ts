import { describe, expect, test } from 'vitest'
import { compileExpression, evaluate } from './evaluate.ts'
import { parsed, problemsOf, testInput } from './testing.ts'

/*
 * The methods that n8n adds to JavaScript's own. The values are those of n8n-workflow 2.41, but for what each note says.
 */

const date = 'DateTime.fromISO("2024-02-29T10:20:30Z", { zone: "utc" })'
const cases: readonly (readonly [text: string, value: unknown])[] = [
  ['"hello THE world. another ONE! yes? ok".toSentenceCase()', 'Hello the world. Another one! Yes? Ok'],
  [
    '["the mill race".toTitleCase(), "it\'s o\'neil a-b WORLD".toTitleCase()]',
    ['The Mill Race', "It's O'neil A-B WORLD"],
  ],
  ['["Hello World-foo".toSnakeCase(), "What? Yes!".toSnakeCase()]', ['hello_world_foo', 'what_yes']],
  [
    '["a < b > c <p>d</p> e <i".removeTags(), "<<b>script>x".removeTags(), "1 < 2".removeTags()]',
    ['a  c d e ', 'script>x', '1 < 2'],
  ],
  [
    '"# Title\\n\\n**bold** _it_ `code` [link](http://x.y) ![img](a.png)\\n* item\\n1. one\\n> quote\\n<b>t</b> ~~del~~ a*b*c s_n_k".removeMarkdown()',
    'Title\n\nbold it code link \nitem\none\nquote\nt del a*b*c s_n_k',
  ],
  ['"déjà vu Ärger ß ø Łódź œ".replaceSpecialChars()', 'deja vu Arger ss o Lodz oe'],
  [`['a"b\\\\c'.quote(), "it's".quote("'")]`, ['"a\\"b\\\\c"', "'it\\'s'"]],
  ['["a$`b".quote("$`"), "ab".quote("")]', ['$`a\\$`b$`', 'ab']],
  [
    '["(see https://a.example/x_(y)).", "https://a.example/x_(y)"].map((x) => x.extractUrl())',
    ['https://a.example/x_(y)', 'https://a.example/x_(y)'],
  ],
  // A full stop at the end is the sentence's.
  [
    '["a@b.co", "a+b@x-y.co.uk", "ä@b.de", "a@b", "a b@c.de", "a@1.2.3.4", "a@b.co."].map((x) => x.isEmail())',
    [true, true, true, false, false, false, false],
  ],
  [
    '["x <a@b.co>, c@d.ef", "mail me: me@site.org.", "nobody@nowhere"].map((x) => x.extractEmail())',
    ['a@b.co', 'me@site.org', undefined],
  ],
  // Short domains and those without a dot are URLs too.
  [
    '["https://a.example/x?y#z", "http://localhost:3000", "ftp://a.example", "a.example", "javascript:1", "http://a b"].map((x) => x.isUrl())',
    [true, true, false, false, false, false],
  ],
  [
    '["see (https://a.example/z?q=1&r=[2]). b", "no", "https://a.example/x, and"].map((x) => x.extractUrl())',
    ['https://a.example/z?q=1&r=[2]', undefined, 'https://a.example/x'],
  ],
  [
    '["me@example.com", "https://sub.example.co.uk/a", "example.com", "nothing", "https://1.2.3.4/x"].map((x) => x.extractDomain())',
    ['example.com', 'sub.example.co.uk', 'example.com', undefined, '1.2.3.4'],
  ],
  ['["https://a.example/b/c?d#e", "a.example/b"].map((x) => x.extractUrlPath())', ['/b/c', undefined]],
  [
    '["example.com", "localhost", "nothing", "https://a.example", "-a.example"].map((x) => x.isDomain())',
    [true, true, false, false, false],
  ],
  [
    '["1", "-2.5", "1e3", "0x1f", " 1 ", "", "abc"].map((x) => x.isNumeric())',
    [true, true, true, true, false, false, false],
  ],
  ['["false", "NO", "0", "", "yes", "1"].map((x) => x.toBoolean())', [false, false, false, false, true, true]],
  [
    '["a b/c?d&é".urlEncode(), "a b/c?d&é".urlEncode(true), "a%20b%2Fc".urlDecode(), "a%20b%2Fc".urlDecode(true)]',
    ['a%20b%2Fc%3Fd%26%C3%A9', 'a%20b/c?d&%C3%A9', 'a b/c', 'a b%2Fc'],
  ],
  ['["é✓".base64Encode(), "w6ninJM=".base64Decode()]', ['w6ninJM=', 'é✓']],
  [
    '["a".hash(), "a".hash("SHA256"), "a".hash("base64")]',
    ['0cc175b9c0f1b6a831c399e269772661', 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', 'YQ=='],
  ],
  [
    '["{\\"a\\":[1]}".parseJson().a[0], "a\\"b\\n".toJsonString(), [1, { a: 2 }].toJsonString(), { a: 1 }.toJsonString()]',
    [1, '"a\\"b\\n"', '[1,{"a":2}]', '{"a":1}'],
  ],
  [
    '[(1234.5).format(), (1234.5).format("de-DE"), (1234.5).format("en-US", { style: "currency", currency: "EUR" })]',
    ['1,234.5', '1.234,5', '€1,234.50'],
  ],
  [
    '[(2).isEven(), (3).isOdd(), (3.5).isInteger(), (-1).toBoolean(), true.toNumber(), false.toBoolean()]',
    [true, true, false, true, 1, false],
  ],
  [
    '[1, "1", 1, { a: 1 }, { a: 1 }, null, null, { b: 1, a: 2 }, { a: 2, b: 1 }].unique()',
    [1, '1', { a: 1 }, null, { b: 1, a: 2 }],
  ],
  ['[{ a: 1, b: 1 }, { a: 1, b: 2 }, { b: 3 }, 5].unique("a")', [{ a: 1, b: 1 }, { b: 3 }, 5]],
  [
    '[[1, 2, { a: 1 }].union([2, 3, { a: 1 }]), [1, 2, { a: 1 }].difference([2, { a: 1 }]), [1, 2, 2, { a: 1 }].intersection([2, { a: 1 }, 5])]',
    [[1, 2, { a: 1 }, 3], [1], [2, { a: 1 }]],
  ],
  ['[[{ a: 1 }, { b: 3 }, null, 4].pluck("a"), [1].append(2, [3]), [3, 1, 2].sum()]', [[1], [1, 2, [3]], 6]],
  ['[{ f: "a", v: 1 }, { f: "b", v: 2 }, { x: 1 }, 5].smartJoin("f", "v")', { a: 1, b: 2 }],
  ['[{ a: 1, b: 2 }, { a: 3 }, 4, null].renameKeys("a", "x", "b", "y")', [{ x: 1, y: 2 }, { x: 3 }, 4, null]],
  ['[{ a: 1 }, { b: 2 }].mergeIntoObject([{ c: 3 }, { a: 9 }])', { a: 9, b: 2, c: 3 }],
  [
    '[{ a: 1 }.hasField("a"), { a: 1, b: 2 }.removeField("a"), { a: 1 }.keys(), { a: 1 }.values()]',
    [true, { b: 2 }, ['a'], [1]],
  ],
  [
    '[{ a: "xyz", b: "q", c: 5 }.removeFieldsContaining("y"), { a: "xyz", b: "q", c: 5 }.keepFieldsContaining("y")]',
    [{ b: 'q', c: 5 }, { a: 'xyz' }],
  ],
  [
    '[{ a: null, b: "", c: 0, d: false }.compact(), { a: "x y", b: 1, c: null, d: [1, 2] }.urlEncode()]',
    [{ c: 0, d: false }, 'a=x+y&b=1&c=null&d=1%2C2'],
  ],
  [
    `[${date}.extract(), ${date}.extract("month"), ${date}.extract("weekday"), ${date}.format()]`,
    [9, 2, 4, '2024-02-29'],
  ],
  [
    `[${date}.isBetween("2025-01-01", "2024-01-01"), ${date}.diffTo("2024-03-01T22:20:30Z"), ${date}.diffTo("2024-03-01T10:20:30Z", ["days", "hours"])]`,
    [true, -1.5, { days: -1, hours: 0 }],
  ],
  [
    '["2024-02-29T00:00Z", "Thu, 29 Feb 2024 00:00:00 GMT"].map((x) => x.toDateTime().toUTC().toISODate())',
    ['2024-02-29', '2024-02-29'],
  ],
  [
    '["29.02.2024".toDateTime("dd.MM.yyyy").toISODate(), "1709200000".toDateTime("s").toMillis(), (1709200000).toDateTime("s").toMillis(), (45351).toDateTime("excel").toISODate()]',
    ['2024-02-29', 1709200000000, 1709200000000, '2024-02-29'],
  ],
  [
    '[$if($json.n > 1, "big", "small"), $if(0, 1), $max(1, 3, 2), $min(2, 1), $ifEmpty("", "none")]',
    ['big', undefined, 3, 1, 'none'],
  ],
]

describe('a method of n8n', () => {
  test.each(cases)('%s', (text, value) => {
    const expression = parsed(`{{ ${text} }}`)
    expect(compileExpression(expression)(testInput({ n: 2 }))).toEqual(value)
    expect(evaluate(expression.ir, testInput({ n: 2 }))).toEqual(value)
  })

  test.each([
    ['"{\'a\': 1}".parseJson()', 'parseJson found a text that is no JSON; JSON has double quotes.'],
    ['"secret".parseJson()', 'parseJson found a text that is no JSON.'],
    ['"a".hash("crc32")', 'hash needs one of md5, sha1, sha224, sha256, sha384, sha512, sha3, not "crc32".'],
    ['(2.5).isEven()', 'isEven needs a whole number, not 2.5.'],
    ['[1, "x"].sum()', 'sum needs a list of numbers; it holds a text.'],
    ['[1].union(2)', 'union needs a list, not a number.'],
    ['{ a: 1 }.removeField("__proto__")', 'The name __proto__ cannot be used; rename the field where it is made.'],
    [
      '[{ f: "__proto__", v: 1 }].smartJoin("f", "v")',
      'The name __proto__ cannot be used; rename the field where it is made.',
    ],
    [
      '[{ a: 1 }].renameKeys("a", "__proto__")',
      'The name __proto__ cannot be used; rename the field where it is made.',
    ],
    ['[{ a: 1 }].renameKeys("a", "b", "c")', 'renameKeys needs pairs of names, from and to.'],
    ['"soon".toDateTime()', 'toDateTime found a text that is no date in this form.'],
    ['(1).toDateTime("h")', 'toDateTime counts in s, ms, us or excel, not "h".'],
    ['(1).toDateTime("constructor")', 'toDateTime counts in s, ms, us or excel, not "constructor".'],
    ['"%".urlDecode()', 'decodeURIComponent cannot read "%": that encodes no character.'],
  ])('%s says what is wrong', (text, message) => {
    expect(() => compileExpression(parsed(`{{ ${text} }}`))(testInput({}))).toThrow(message)
  })

  test.each([
    ['"a".toInt()', /parseInt/],
    ['[1].randomItem()', /\$json\.id/],
    ['[{}].merge([{}])', /mergeIntoObject/],
  ])('%s, which the language has under another name, names it', (text, remedy) => {
    expect(problemsOf(`{{ ${text} }}`)[0]?.remedy).toMatch(remedy)
  })

  test.each([
    'isEmail',
    'extractEmail',
    'extractUrl',
    'extractDomain',
    'isDomain',
    'removeTags',
    'removeMarkdown',
    'toSentenceCase',
  ])('%s takes time in proportion to the text, whatever it holds', (name) => {
    const run = compileExpression(parsed(`{{ $json.text.${name}() }}`))
    for (const part of [
      '<',
      '[',
      '![',
      '](',
      '*',
      '**',
      '_',
      '`',
      '~~',
      '> ',
      '# ',
      '@',
      'a@',
      '.a',
      '-',
      'http://',
      'http://a(',
      ')',
      '(]',
      '. ',
      '\n',
      ' ',
      '=',
      '1. ',
      '*a',
      '_a ',
      '[a](b ',
    ]) {
      for (const start of ['', 'http://a.example/', 'me@a.example']) {
        const text = start + part.repeat(Math.floor(400_000 / part.length))
        const began = performance.now()
        run(testInput({ text }))
        // Linear work takes some milliseconds, quadratic work a minute.
        expect(performance.now() - began, start + part).toBeLessThan(3_000)
      }
    }
  })
})
