/*
 * What a text is, or holds: mail addresses, URLs, domains, numbers. All of it runs in time linear in the text.
 */

/** Whether the whole text is a mail address with a domain that has a dot. */
export function isEmail(text: string): boolean {
  const at = text.lastIndexOf('@')
  return (
    at > 0 &&
    text.length <= emailCharsMax &&
    /^[^\s@<>()[\]\\,;:"]+$/.test(text.slice(0, at)) &&
    isSite(text.slice(at + 1))
  )
}

/** The first mail address in a text. */
export function extractEmail(text: string): string | undefined {
  for (const [word] of text.matchAll(/[^\s<>()[\]\\,;:"]+/g)) {
    const address = word.replace(/^mailto:/i, '').replace(/[.?!']+$/, '')
    if (isEmail(address)) return address
  }
  return undefined
}

/** Whether the whole text is an http or https URL. */
export function isUrl(text: string): boolean {
  return urlOf(text) !== null
}

/** The first http or https URL in a text, without the punctuation that ends a sentence after it. */
export function extractUrl(text: string): string | undefined {
  for (const [found] of text.matchAll(/\bhttps?:\/\/[^\s<>"'`{}|\\^]+/gi)) {
    const url = withoutPunctuation(found)
    if (isUrl(url)) return url
  }
  return undefined
}

/** The domain of a URL or a mail address, or the text itself where it is one. */
export function extractDomain(text: string): string | undefined {
  const trimmed = text.trim()
  const url = urlOf(trimmed)
  if (url !== null) return url.hostname
  const domain = trimmed.slice(trimmed.lastIndexOf('@') + 1)
  return isDomain(domain) ? domain : undefined
}

/** The part of a URL after the domain, without query and fragment. */
export function extractUrlPath(text: string): string | undefined {
  return urlOf(text.trim())?.pathname
}

/** Whether the text is a domain: with a dot, or `localhost`. */
export function isDomain(text: string): boolean {
  return text.toLowerCase() === 'localhost' || isSite(text)
}

/** Whether the text is a number as JavaScript writes them, with nothing around it. */
export function isNumeric(text: string): boolean {
  return text !== '' && text.trim() === text && !Number.isNaN(Number(text))
}

const emailCharsMax = 254
const domainCharsMax = 253

/** Labels of letters, digits and inner hyphens, of which the last is no number. RFC 1123, section 2.1. */
function isSite(text: string): boolean {
  if (text.length > domainCharsMax) return false
  const labels = text.split('.')
  return (
    labels.length > 1 &&
    labels.every((label) => label.length <= 63 && /^[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?$/u.test(label)) &&
    /\p{L}/u.test(labels.at(-1) ?? '')
  )
}

function urlOf(text: string): URL | null {
  return /^https?:\/\/\S+$/i.test(text) ? URL.parse(text) : null
}

/** A bracket that closes none of the URL's own belongs to the sentence too. */
function withoutPunctuation(url: string): string {
  const unopened = { ')': count(url, ')') - count(url, '('), ']': count(url, ']') - count(url, '[') }
  let end = url.length
  for (; end > 0; end--) {
    const last = url[end - 1] ?? ''
    if (last === ')' || last === ']') {
      if (unopened[last] <= 0) break
      unopened[last] -= 1
    } else if (!'.,;:!?'.includes(last)) break
  }
  return url.slice(0, end)
}

function count(text: string, sign: string): number {
  let found = 0
  for (let at = text.indexOf(sign); at >= 0; at = text.indexOf(sign, at + 1)) found += 1
  return found
}
