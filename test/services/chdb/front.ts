import { createServer } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { Session } from 'chdb'

/**
 * The HTTP interface of ClickHouse in front of chdb, the engine as a library, in a process of its own: `node front.ts PORT FOLDER`.
 * Settings and parameters travel as they do to a real server: in the address. Requests run one after the other.
 */
const [port, folder] = process.argv.slice(2)
const session = new Session(folder)
let last = Promise.resolve()

createServer((request, response) => {
  const pieces: Buffer[] = []
  request.on('data', (piece: Buffer) => pieces.push(piece))
  request.on('end', () => {
    const url = new URL(request.url ?? '/', 'http://x')
    if (url.pathname === '/ping') return void response.end('Ok.\n')
    const bytes = Buffer.concat(pieces)
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes
    last = last.then(async () => {
      try {
        response.end(await run(url.searchParams, body.toString('utf8')))
      } catch (thrown) {
        response.writeHead(500).end(thrown instanceof Error ? thrown.message : String(thrown))
      }
    })
  })
}).listen(Number(port), '127.0.0.1')

const ofHttp = new Set([
  'query',
  'query_id',
  'database',
  'default_format',
  'enable_http_compression',
  'wait_end_of_query',
])

async function run(asked: URLSearchParams, body: string): Promise<Uint8Array> {
  const settings = [...asked].filter(([name]) => !ofHttp.has(name))
  const query = asked.get('query')
  const sql = query === null ? body : `${query}\n${body}`
  const set = settings.map(([name, value]) => `SET ${name} = ${quoted(value)}; `).join('')
  try {
    return (await session.queryAsync(set + sql, { format: asked.get('default_format') ?? 'TabSeparated' })).bytes()
  } finally {
    // A session keeps what was set; a request of HTTP does not.
    const unset = settings.filter(([name]) => !name.startsWith('param_')).map(([name]) => `SET ${name} = DEFAULT`)
    for (const each of unset) await session.queryAsync(each).catch(() => undefined)
  }
}

function quoted(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
