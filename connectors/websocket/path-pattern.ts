/** What a path in a config may look like. */
export const pathForm = /^\/(:?[A-Za-z0-9._~-]+(\/:?[A-Za-z0-9._~-]+)*)?\/?$/

/** A path with `:parameters`, ready to be compared. */
export interface PathPattern {
  /** The parameters of a path that fits, decoded; null for one that does not. */
  match(path: string): Readonly<Record<string, string>> | null
}

const nothing: Readonly<Record<string, string>> = Object.freeze({})

/** Reads `/rooms/:room`. A parameter takes one segment that is not empty; a slash at the end makes no difference. */
export function pathPattern(pattern: string): PathPattern {
  const wanted = segmentsOf(pattern)
  const named = wanted.some((each) => each.startsWith(':'))
  return {
    match(path) {
      const segments = segmentsOf(path)
      if (segments.length !== wanted.length) return null
      const params: Record<string, string> = {}
      for (const [index, want] of wanted.entries()) {
        // Decoded after the path was cut, so that %2F stays inside its segment.
        const text = decode(segments[index] ?? '')
        if (text === null || text === '') return null
        if (want.startsWith(':')) params[want.slice(1)] = text
        else if (text !== want) return null
      }
      return named ? params : nothing
    },
  }
}

function segmentsOf(path: string): readonly string[] {
  const trimmed = path.replace(/^\/|\/$/g, '')
  return trimmed === '' ? [] : trimmed.split('/')
}

function decode(segment: string): string | null {
  if (!segment.includes('%')) return segment
  try {
    return decodeURIComponent(segment)
  } catch {
    return null
  }
}
