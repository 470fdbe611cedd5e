/**
 * Something wrong with a document. Problems are plain data: they are collected, all at once, and never thrown.
 * Every one says what is wrong, where, with which value, and what to do.
 */
export interface Problem {
  /** Stable dotted name, e.g. `document.unknown-node`; what tests and the editor key on. */
  readonly code: string
  readonly severity: 'error' | 'warning'
  readonly place: Place
  /** What is wrong, naming the offending value. One sentence. */
  readonly message: string
  /** What to do about it. One imperative sentence. */
  readonly remedy: string
}

/** Where in a document a problem lies. Offsets are UTF-16 code units into the document's text. */
export interface Place {
  /** The called document that it lies in, as the call names it; absent for the document itself. */
  readonly document?: string
  readonly node?: string
  /** Path inside the node's config or the document, e.g. `config.fields.total`. */
  readonly field?: string
  readonly range?: Range
  /** One-based line and column of `range.start`, when the text is known. */
  readonly line?: number
  readonly column?: number
}

export interface Range {
  readonly start: number
  readonly end: number
}

/** The answer of every step from text to plan: a value, perhaps with warnings, or all its problems. */
export type Result<T> =
  | { readonly ok: true; readonly value: T; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** Makes an error problem. */
export function problem(code: string, place: Place, message: string, remedy: string): Problem {
  return { code, severity: 'error', place, message, remedy }
}

/** Makes a warning: the document runs, but not as its author may think. */
export function warning(code: string, place: Place, message: string, remedy: string): Problem {
  return { code, severity: 'warning', place, message, remedy }
}

/** `ok` when no problem is an error; warnings ride along. */
export function resultOf<T>(value: T, problems: readonly Problem[]): Result<T> {
  return problems.some((each) => each.severity === 'error')
    ? { ok: false, problems }
    : { ok: true, value, warnings: problems }
}

/** One problem as the line that a terminal shows: `3:14 error node.field: message → remedy [code]`. */
export function formatProblem(each: Problem): string {
  const at = each.place.line === undefined ? '' : `${each.place.line}:${each.place.column ?? 1} `
  const who = [each.place.node, each.place.field].filter((part) => part !== undefined).join('.')
  return `${at}${each.severity}${who === '' ? '' : ` ${who}`}: ${each.message} → ${each.remedy} [${each.code}]`
}
