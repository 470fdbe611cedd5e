import { createServer } from 'node:net'

/**
 * Ports of 127.0.0.1 that nobody listens on. They lie below the range from which systems take the ports of outgoing connections,
 * so that a server can be killed and started again on its port.
 */
export async function freePorts(count: number): Promise<readonly number[]> {
  const found = new Set<number>()
  for (let attempt = 0; found.size < count; attempt += 1) {
    if (attempt > 1_000) throw new Error(`no ${count} free ports between ${first} and ${last}`)
    const port = first + Math.floor(Math.random() * (last - first))
    if (await isFree(port)) found.add(port)
  }
  return [...found]
}

const first = 20_000
const last = 32_000

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.on('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
