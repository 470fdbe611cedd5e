import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect } from 'node:net'

/**
 * The other end of the sockets, in a process of its own. It does as little as possible per message, so that it is the server that is measured:
 * frames are made before, and what comes back is only counted.
 */
export type Order =
  | { readonly do: 'connect'; readonly port: number; readonly connections: number }
  /** Each connection sends when it has its answer, for so long. `answerBytes`: of one whole frame. */
  | { readonly do: 'echo'; readonly frame: string; readonly answerBytes: number; readonly forMs: number }
  /** One connection sends, all get it; the next one is sent when the last has come. */
  | { readonly do: 'broadcast'; readonly frame: string; readonly answerBytes: number; readonly rounds: number }
  /** Until each connection has got so much. */
  | { readonly do: 'await'; readonly bytesEach: number }
  | { readonly do: 'close' }

export interface LoadResult {
  readonly count: number
  readonly ms: number
  /** Of single answers, in milliseconds; 0 where none were timed. */
  readonly p50Ms: number
  readonly p99Ms: number
}

interface Peer {
  readonly socket: Socket
  bytes: number
  sentAt: number
}

let peers: Peer[] = []
let onBytes: (peer: Peer, bytes: number) => void = () => undefined

async function dial(port: number): Promise<Peer> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', (error) => {
    throw error
  })
  await once(socket, 'connect')
  socket.write(
    `GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  )
  const peer: Peer = { socket, bytes: 0, sentAt: 0 }
  await new Promise<void>((resolve, reject) => {
    socket.once('data', (head: Buffer) => {
      const end = head.indexOf('\r\n\r\n')
      if (!head.toString('latin1', 0, 12).endsWith('101') || end < 0) return reject(new Error(head.toString()))
      peer.bytes = head.byteLength - end - 4
      socket.on('data', (chunk: Buffer) => {
        peer.bytes += chunk.byteLength
        onBytes(peer, chunk.byteLength)
      })
      resolve()
    })
  })
  return peer
}

async function dialAll(port: number, connections: number): Promise<void> {
  for (let made = 0; made < connections; made += 100)
    peers.push(...(await Promise.all(Array.from({ length: Math.min(100, connections - made) }, () => dial(port)))))
}

function echo(frame: Buffer, answerBytes: number, forMs: number): Promise<LoadResult> {
  const times: number[] = []
  const begin = performance.now()
  let open = peers.length
  return new Promise((resolve) => {
    const send = (peer: Peer): void => {
      peer.bytes = 0
      peer.sentAt = performance.now()
      peer.socket.write(frame)
    }
    onBytes = (peer) => {
      if (peer.bytes < answerBytes) return
      const now = performance.now()
      times.push(now - peer.sentAt)
      if (now - begin < forMs) return send(peer)
      open -= 1
      if (open > 0) return
      const sorted = Float64Array.from(times).sort()
      const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0
      resolve({ count: times.length, ms: now - begin, p50Ms: at(0.5), p99Ms: at(0.99) })
    }
    for (const peer of peers) send(peer)
  })
}

function broadcast(frame: Buffer, answerBytes: number, rounds: number): Promise<LoadResult> {
  const begin = performance.now()
  let round = 0
  let waits = 0
  return new Promise((resolve) => {
    const next = (): void => {
      if (round++ === rounds) return resolve({ count: rounds, ms: performance.now() - begin, p50Ms: 0, p99Ms: 0 })
      waits = peers.length
      for (const peer of peers) peer.bytes = 0
      peers[0]?.socket.write(frame)
    }
    onBytes = (peer) => {
      if (peer.bytes !== answerBytes) return
      waits -= 1
      if (waits === 0) next()
    }
    next()
  })
}

function awaitBytes(bytesEach: number): Promise<LoadResult> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (peers.every((peer) => peer.bytes >= bytesEach)) resolve({ count: peers.length, ms: 0, p50Ms: 0, p99Ms: 0 })
    }
    onBytes = look
    look()
  })
}

async function carryOut(order: Order): Promise<LoadResult> {
  const nothing: LoadResult = { count: peers.length, ms: 0, p50Ms: 0, p99Ms: 0 }
  switch (order.do) {
    case 'connect':
      await dialAll(order.port, order.connections)
      return { ...nothing, count: peers.length }
    case 'echo':
      return echo(Buffer.from(order.frame, 'base64'), order.answerBytes, order.forMs)
    case 'broadcast':
      return broadcast(Buffer.from(order.frame, 'base64'), order.answerBytes, order.rounds)
    case 'await':
      return awaitBytes(order.bytesEach)
    case 'close':
      for (const { socket } of peers) socket.destroy()
      peers = []
      return nothing
  }
}

if (import.meta.main) {
  // The parent is this file's only caller.
  process.on('message', (order: Order) => void carryOut(order).then((result) => process.send?.(result)))
  process.on('disconnect', () => process.exit())
}
