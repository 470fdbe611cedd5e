import type { Socket } from 'node:net'
import { connect, createServer } from 'node:net'

/** A way to a server that can be cut: for faults of the network between a client and a real server. */
export interface CuttingProxy {
  readonly port: number
  /** Cuts all connections. Answers that are on their way are lost; requests that went through have been heard. */
  cut(): void
  /** From now on nothing comes back: requests still go through. `cut` ends that too. */
  muffle(): void
  stop(): Promise<void>
}

/** Listens on a port of 127.0.0.1 and leads to another one there. */
export async function startProxy(port: number, target: number): Promise<CuttingProxy> {
  const open = new Set<Socket>()
  let isMuffled = false
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1')
    for (const [from, to] of [[client, upstream] as const, [upstream, client] as const]) {
      open.add(from)
      from.setNoDelay(true)
      from.on('error', () => undefined)
      from.on('close', () => {
        open.delete(from)
        to.destroy()
      })
    }
    client.on('data', (chunk) => void upstream.write(chunk))
    upstream.on('data', (chunk) => {
      if (!isMuffled) client.write(chunk)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  const cut = (): void => {
    isMuffled = false
    for (const socket of open) socket.destroy()
  }
  return {
    port,
    cut,
    muffle: () => {
      isMuffled = true
    },
    stop: () => {
      cut()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
