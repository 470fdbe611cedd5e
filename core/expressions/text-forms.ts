/*
 * Texts in another form: capitals, marks, markup. Every pattern takes time linear in the text.
 */

/** Words with a capital first; their other letters stay as they are. */
export function toTitleCase(text: string): string {
  return text.replace(/(^|[\s-])(\p{L})/gu, (_, before: string, first: string) => before + first.toUpperCase())
}

/** Small letters, and a capital at the start of each sentence and line. */
export function toSentenceCase(text: string): string {
  return text
    .toLowerCase()
    .replace(
      /(^|[.!?]\s|\n)(\s?)(\p{L})/gu,
      (_, end: string, gap: string, first: string) => end + gap + first.toUpperCase(),
    )
}

/** Small letters with `_` for each space and hyphen, and without other marks. */
export function toSnakeCase(text: string): string {
  return text
    .toLowerCase()
    .replace(/[\s-]/g, '_')
    .replace(/[^\p{L}\p{N}_]/gu, '')
}

/** Letters with marks as plain ones, and the letters of Latin scripts that ASCII lacks as the usual pairs. */
export function replaceSpecialChars(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/[^\0-\x7f]/g, (letter) => latinLetters.get(letter) ?? letter)
}

/** The text in quotation marks, with those within escaped. */
export function quote(text: string, mark: string): string {
  const escaped = text.replaceAll('\\', '\\\\')
  // By a function, since in a text `$&` and its like would stand for parts of what is searched.
  return mark + (mark === '' ? escaped : escaped.replaceAll(mark, () => `\\${mark}`)) + mark
}

/** The text without what stands in angle brackets, and without a tag at its end that nothing closes. */
export function removeTags(text: string): string {
  const kept: string[] = []
  let from = 0
  for (;;) {
    const open = text.indexOf('<', from)
    const close = open < 0 ? -1 : text.indexOf('>', open)
    if (close < 0) {
      const isCutTag = open >= 0 && /[a-z/!?]/i.test(text.charAt(open + 1))
      kept.push(isCutTag ? text.slice(from, open) : text.slice(from))
      return kept.join('')
    }
    kept.push(text.slice(from, open))
    from = close + 1
  }
}

/** The text without the marks of Markdown, and without tags: what is read. */
export function removeMarkdown(text: string): string {
  return removeTags(
    text
      .replace(/^ {0,3}(?:```|~~~).*$\n?/gm, '')
      .replace(/^ {0,3}(?:#{1,6} +|(?:> ?)+|[*+-] +(?=\S)|\d{1,9}[.)] +)/gm, '')
      .replace(/^ {0,3}(?:=+|-{3,}|\*{3,}|_{3,}) *$\n?/gm, '')
      .replace(/!\[[^[\]]*\]\([^()\s]*(?: "[^"]*")?\)/g, '')
      .replace(/\[([^[\]]*)\]\([^()\s]*(?: "[^"]*")?\)/g, '$1')
      .replace(/(\*\*|__|~~|`)(?=\S)([^*_~`\n]*)\1/g, '$2')
      .replace(/(^|[^\p{L}\p{N}_*])([*_])(?=\S)([^*_\n]*)\2(?![\p{L}\p{N}])/gmu, '$1$3'),
  )
}

const latinLetters: ReadonlyMap<string, string> = new Map(
  Object.entries({
    ß: 'ss',
    ẞ: 'SS',
    æ: 'ae',
    Æ: 'AE',
    œ: 'oe',
    Œ: 'OE',
    ø: 'o',
    Ø: 'O',
    ł: 'l',
    Ł: 'L',
    đ: 'd',
    Đ: 'D',
    ð: 'd',
    Ð: 'D',
    þ: 'th',
    Þ: 'Th',
    ı: 'i',
    ħ: 'h',
    Ħ: 'H',
    '–': '-',
    '—': '-',
    '‘': "'",
    '’': "'",
    '“': '"',
    '”': '"',
    '„': '"',
    '«': '"',
    '»': '"',
  }),
)
