import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'

/** What a client of ClickHouse asked, as it was sent. */
export interface Asked {
  readonly url: URL
  readonly body: string
  readonly headers: IncomingMessage['headers']
}

/** A server in place of ClickHouse, for what a real one does only by accident: hanging, cutting, answering nonsense. */
export async function standFor(
  answer: (asked: Asked, response: ServerResponse) => void,
): Promise<{ readonly url: string; readonly asked: readonly Asked[]; close(): void }> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (piece) => (body += String(piece)))
    request.on('end', () => {
      const one = { url: new URL(request.url ?? '/', 'http://stand'), body, headers: request.headers }
      asked.push(one)
      answer(one, response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('the stand has no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    asked,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
