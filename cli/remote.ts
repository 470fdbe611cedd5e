import { existsSync, statSync } from 'node:fs'
import { MillraceError } from '../sdk/errors.ts'
import type { HttpDoor } from '../sdk/http.ts'
import { callApi } from '../sdk/http.ts'
import { readDocument } from './load.ts'
import { UsageError } from './usage-error.ts'

/** How a command finds the server that it speaks to. */
export interface RemoteOptions {
  readonly server: string
  readonly json?: boolean
}

/** A server that runs, as commands speak to it. */
export interface Remote {
  readonly door: HttpDoor
  /** Turns what a call of the SDK throws into a UsageError that says what to do. */
  explained(thrown: unknown): Error
  /** Calls the API. Throws a UsageError that says what to do when nothing listens there, the token is missing, or the server refuses. */
  call(method: string, path: string, body?: unknown): Promise<unknown>
}

export function remoteOf(options: RemoteOptions): Remote {
  const url = options.server.replace(/\/+$/, '')
  if (!URL.canParse(url) || !/^https?:/.test(url))
    throw new UsageError(
      `--server is ${JSON.stringify(options.server)}; write for example --server http://127.0.0.1:4600`,
    )
  const door = { base: url, token: process.env.MILLRACE_TOKEN ?? null }
  return {
    door,
    explained: (thrown) => explained(thrown, url),
    async call(method, path, body) {
      try {
        return await callApi(door, method, path, body)
      } catch (thrown) {
        throw explained(thrown, url)
      }
    },
  }
}

/** The id of a workflow: as it is given, or the name in the document that it is the path of. */
export function workflowNameOf(given: string): string {
  if (!existsSync(given) || !statSync(given).isFile()) return given
  const document = readDocument(given)
  // A problem elsewhere does not matter here: the running workflow is meant, not the one in the file.
  if (document.ok && document.value.unread?.problems.some((each) => each.place.field === 'name') !== true)
    return document.value.name
  throw new UsageError(`${given} has no name that can be read; run \`millrace lint ${given}\``)
}

function explained(thrown: unknown, url: string): Error {
  if (!(thrown instanceof MillraceError)) return thrown instanceof Error ? thrown : new Error(String(thrown))
  if (thrown.status === 401 || thrown.status === 403)
    return new UsageError(`${url} lets only those in who bring its token: set MILLRACE_TOKEN`)
  if (thrown.status === null || thrown.status === undefined)
    return new UsageError(`no server answers at ${url}: start one with \`millrace serve\`, or name another by --server`)
  return new UsageError(thrown.message)
}
