/** What went wrong, with a code to act on. `remedy` says what to do, where the server knows. */
export class MillraceError extends Error {
  /**
   * The server's own code (`workflow.unknown`, `body.too-large`, …), or one of the SDK's: `connection.lost`,
   * `connection.closed`, `aborted`, `answer.broken`, `upload.unreadable`, `execution.failed` and `frame.*`.
   */
  readonly code: string
  readonly remedy: string | null
  /** The HTTP status, when an answer brought the error. */
  readonly status: number | null

  constructor(
    code: string,
    text: string,
    options: { readonly remedy?: string | null; readonly status?: number | null } = {},
  ) {
    super(text)
    this.name = 'MillraceError'
    this.code = code
    this.remedy = options.remedy ?? null
    this.status = options.status ?? null
  }
}

export function abortedError(): MillraceError {
  return new MillraceError('aborted', 'The call was aborted.')
}

/** Reads `{ error: { code, message, remedy? } }`; falls back to the status where the answer is of another making. */
export function errorOfAnswer(status: number, text: string): MillraceError {
  try {
    const body: unknown = JSON.parse(text)
    const error: unknown = typeof body === 'object' && body !== null && 'error' in body ? body.error : null
    if (typeof error === 'object' && error !== null && 'code' in error && 'message' in error) {
      const remedy = 'remedy' in error && typeof error.remedy === 'string' ? error.remedy : null
      return new MillraceError(String(error.code), String(error.message), { remedy, status })
    }
  } catch {
    // Not JSON: a proxy's page, for example.
  }
  return new MillraceError('answer.refused', `The server answered with status ${status}.`, { status })
}
