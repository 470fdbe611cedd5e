import { NodeError } from '../../core/flow/failure.ts'

const textMax = 800

/** The server refuses the data of a row; the same row would be refused again. */
export class RowError extends NodeError {
  /** Which row it names, from 1, counted in what was sent; null where it names none. A hint only: a server that reads in parallel may miscount. */
  readonly row: number | null

  constructor(text: string, row: number | null, cause: unknown) {
    super('clickhouse.bad-row', text, { retriable: false, cause })
    this.row = row
  }
}

/** Where a request went, and what was asked. */
export interface Asked {
  /** The address, without user and password. */
  readonly place: string
  /** `rows`: an insert, whose rows may be to blame. */
  readonly what: 'rows' | 'query'
  /** What must not be told. */
  readonly secrets: readonly string[]
}

/** What the client threw, in words: a NodeError `clickhouse.…` with a word on whether a retry can help. */
export function clickhouseError(thrown: unknown, asked: Asked): NodeError {
  if (thrown instanceof NodeError) return thrown
  const { place } = asked
  const system = connectionTrouble(thrown, place)
  if (system !== null) return system
  const told = without(asked.secrets, thrown instanceof Error ? thrown.message : String(thrown))
  return serverError(told, codeOf(thrown, told), asked, thrown)
}

function serverError(told: string, number: number | null, { place, what }: Asked, cause: unknown): NodeError {
  const text = plain(told)
  if (number === null)
    return new NodeError('clickhouse.failed', `${place} gave no answer of ClickHouse: ${text || 'nothing'}`, {
      retriable: true,
      cause,
    })
  const row = atRow.exec(told)?.[1]
  if (what === 'rows' && (row !== undefined || rowCodes.has(number)))
    return new RowError(
      `the server refuses the row: ${text.replace(inBrackets, '')} (code ${number})`,
      row === undefined ? null : Number(row),
      cause,
    )
  const known = kinds.find((kind) => kind.numbers.includes(number))
  return new NodeError(
    known?.code ?? 'clickhouse.refused',
    `${place} says: ${text} (code ${number})${known?.remedy ?? ''}`,
    {
      retriable: known?.retriable ?? false,
      cause,
    },
  )
}

interface Kind {
  readonly code: string
  readonly numbers: readonly number[]
  readonly retriable: boolean
  readonly remedy: string
}

/** The server's error numbers (src/Common/ErrorCodes.cpp of ClickHouse) by what they mean for a workflow. */
const kinds: readonly Kind[] = [
  { code: 'clickhouse.unknown-table', numbers: [60, 81], retriable: false, remedy: '' },
  { code: 'clickhouse.unknown-column', numbers: [8, 10, 15, 16, 47], retriable: false, remedy: '' },
  { code: 'clickhouse.bad-query', numbers: [43, 42, 46, 62, 215], retriable: false, remedy: '' },
  { code: 'clickhouse.bad-parameter', numbers: [456, 457], retriable: false, remedy: '; see `parameters`' },
  {
    code: 'clickhouse.not-authorised',
    numbers: [192, 193, 194, 195, 291, 497, 516],
    retriable: false,
    remedy: '; see `username` and `password`, and what the user was granted',
  },
  {
    code: 'clickhouse.read-only',
    numbers: [164],
    retriable: false,
    remedy: '; a user that may only read needs the profile setting `readonly = 2`, which lets a request bring settings',
  },
  {
    code: 'clickhouse.unknown-setting',
    numbers: [115],
    retriable: false,
    remedy: '; the server is too old for it: see "Settings, and old servers" in docs/connectors/clickhouse.md',
  },
  {
    code: 'clickhouse.too-many-parts',
    numbers: [252],
    retriable: true,
    remedy: '; insert fewer and larger batches: raise `rowsMax` and `waitMsMax`',
  },
  {
    code: 'clickhouse.busy',
    // Limits of time, memory and connections; replicas and keepers that are away; a server that is stopping.
    numbers: [
      3, 159, 160, 198, 202, 203, 209, 210, 225, 236, 241, 242, 243, 254, 279, 285, 286, 319, 373, 394, 425, 439, 473,
      499, 574, 722, 733, 745, 999, 1000, 1002,
    ],
    retriable: true,
    remedy: '',
  },
]

/** Numbers that speak of the data, whether they name a row or not: what cannot be parsed, converted, or is forbidden by a constraint. */
const rowCodes: ReadonlySet<number> = new Set([
  6, 25, 26, 27, 33, 38, 41, 53, 69, 70, 72, 117, 130, 131, 190, 321, 349, 376, 407, 441, 467, 469, 675, 676, 691,
])

const atRow = /\bat row (\d+)/
const inBrackets = /\s*:?\s*\(at row \d+\)/

const systemReasons: Readonly<
  Record<string, { readonly code: string; readonly why: string; readonly retriable: boolean }>
> = {
  ECONNREFUSED: { code: 'clickhouse.unreachable', why: 'nobody listens there', retriable: true },
  ECONNRESET: { code: 'clickhouse.cut', why: 'the connection was cut before the answer was whole', retriable: true },
  EPIPE: { code: 'clickhouse.cut', why: 'the connection was cut before the request was whole', retriable: true },
  ECONNABORTED: { code: 'clickhouse.cut', why: 'the connection was cut', retriable: true },
  ERR_STREAM_PREMATURE_CLOSE: {
    code: 'clickhouse.cut',
    why: 'the connection was cut before the answer was whole',
    retriable: true,
  },
  ETIMEDOUT: { code: 'clickhouse.unreachable', why: 'the host does not answer', retriable: true },
  EHOSTUNREACH: { code: 'clickhouse.unreachable', why: 'no way leads to the host', retriable: true },
  ENETUNREACH: { code: 'clickhouse.unreachable', why: 'no way leads to the host', retriable: true },
  EAI_AGAIN: { code: 'clickhouse.unreachable', why: 'the name cannot be looked up now', retriable: true },
  ENOTFOUND: { code: 'clickhouse.unreachable', why: 'there is no host of this name', retriable: true },
}

function connectionTrouble(thrown: unknown, place: string): NodeError | null {
  const code = thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : ''
  const known = systemReasons[code]
  if (known !== undefined)
    return new NodeError(known.code, `${place}: ${known.why}`, { retriable: known.retriable, cause: thrown })
  const tls = /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|EPROTO|HPE_)/.test(code)
  if (!tls) return null
  const what = code.startsWith('HPE_') ? 'what answers there is no HTTP server' : `TLS fails (${code})`
  return new NodeError('clickhouse.unreachable', `${place}: ${what}`, { retriable: false, cause: thrown })
}

/** The server's number of an error: as the client read it, or from the text, whose form changed with the versions. */
function codeOf(thrown: unknown, text: string): number | null {
  const own = thrown instanceof Error && 'code' in thrown ? Number(thrown.code) : Number.NaN
  if (Number.isInteger(own)) return own
  const found = /\bCode: (\d+)[.,]/.exec(text)?.[1]
  return found === undefined ? null : Number(found)
}

/** The sentence in what a server says: without its prefixes, its version and its stack. */
function plain(text: string): string {
  const sentence = text
    .replace(/^.*?DB::Exception: /s, '')
    .replace(/, e\.what\(\) = .*$/s, '')
    .replace(/Stack trace:.*$/s, '')
    .replace(/: While executing \w+\.?/, '')
    .replace(/\s*\(version [^)]*\)\s*$/, '')
    .replace(/\. \([A-Z_]+\)\s*$/, '')
    .trim()
  return sentence.length <= textMax ? sentence : `${sentence.slice(0, textMax)} …`
}

function without(secrets: readonly string[], text: string): string {
  return secrets.reduce((rest, secret) => (secret === '' ? rest : rest.replaceAll(secret, '…')), text)
}
