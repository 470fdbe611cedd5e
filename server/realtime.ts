import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { Guard } from './guard.ts'
import { HttpError, refuseSocket } from './http-error.ts'
import type { ServerLimits } from './limits.ts'
import { Session } from './session.ts'
import type { TopicStore } from './topics.ts'
import type { Workflows } from './workflows.ts'

export const realtimePath = '/api/realtime'

/** The WebSocket side of the server. */
export interface Realtime {
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  readonly sockets: number
  /** Asks all clients to go, and cuts those that stay. */
  close(): void
  terminate(): void
}

export interface RealtimeOptions {
  readonly guard: Guard
  readonly limits: ServerLimits
  readonly topics: TopicStore
  readonly workflows: Workflows
}

export function createRealtime(options: RealtimeOptions): Realtime {
  const { guard, limits } = options
  // No compression: thumbnails do not shrink, and a deflate state per socket costs more memory than all else here.
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: limits.frameBytesMax,
    clientTracking: false,
  })
  const sessions = new Set<Session>()
  const server = randomBytes(6).toString('base64url')
  const heartbeat = setInterval(() => {
    for (const session of sessions) session.beat()
  }, limits.heartbeatMs)
  heartbeat.unref()

  const admit = (request: IncomingMessage): void => {
    guard.admit(request)
    if ((request.url ?? '').split('?')[0] !== realtimePath)
      throw new HttpError(404, 'path.unknown', 'There is no WebSocket here.', `Connect to ${realtimePath}.`)
    if (sessions.size >= limits.socketsMax)
      throw new HttpError(
        503,
        'server.busy',
        `${limits.socketsMax} clients are connected; no more are taken.`,
        'Try again later.',
      )
  }

  return {
    get sockets() {
      return sessions.size
    },
    upgrade(request, socket, head) {
      socket.on('error', () => socket.destroy())
      try {
        admit(request)
      } catch (thrown) {
        if (!(thrown instanceof HttpError)) throw thrown
        refuseSocket(socket, thrown)
        return
      }
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        const { topics, workflows } = options
        const authorized = request.headers.authorization !== undefined && passes(guard, request)
        const session = new Session(webSocket, {
          server,
          limits,
          topics,
          workflows,
          tokenMatches: guard.tokenMatches,
          authorized,
        })
        sessions.add(session)
        webSocket.on('close', () => sessions.delete(session))
      })
    },
    close() {
      clearInterval(heartbeat)
      for (const session of sessions) session.close()
    },
    terminate() {
      for (const session of sessions) session.terminate()
      sockets.close()
    },
  }
}

function passes(guard: Guard, request: IncomingMessage): boolean {
  try {
    guard.authorize(request)
    return true
  } catch {
    return false
  }
}
