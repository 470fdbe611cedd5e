import { z } from 'zod'
import type { ConfigProblem, NodeContext } from '../../core/define.ts'
import { expression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Scope } from '../../core/flow/scope.ts'
import { Connection } from './connection.ts'
import type { Connections } from './connections.ts'
import { roomNameCharactersMax } from './connections.ts'

const nodeId = z.string().min(1).max(200)
const id = z.string().min(1).max(100)
const room = z.string().min(1).max(roomNameCharactersMax)
const oneOrMore = <T>(inner: z.ZodType<T>): z.ZodType<T | readonly T[]> => z.union([inner, z.array(inner).max(10_000)])

/** Which server: a field of every node that looks for connections. */
export const serverField = nodeId
  .optional()
  .describe('Id of the `websocket.serve` node; may be left out where the workflow has one.')

/** Rooms by name, as one text or a list. */
export const roomsField = expression(oneOrMore(room))

/** Which connections: fields of the nodes that do something to some. */
export const targetFields = {
  server: serverField,
  to: expression(oneOrMore(id))
    .optional()
    .describe('Ids of connections; that of the message, `{{ $key }}`, when nothing else is said.'),
  room: roomsField.optional().describe('All that are in this room, or in one of these.'),
  all: z.boolean().default(false).describe('All that are connected.'),
  except: expression(oneOrMore(id)).optional().describe('But not these, for example `{{ $key }}`.'),
}

const targetsConfig = z.strictObject(targetFields)
export type TargetsConfig = z.output<typeof targetsConfig>

/** That it is clear who is meant. */
export function checkTargets(config: TargetsConfig): readonly ConfigProblem[] {
  const said = [config.to, config.room, config.all || undefined].filter((each) => each !== undefined)
  if (said.length < 2) return []
  return [
    {
      field: config.to === undefined ? 'all' : 'to',
      message: 'says who is meant, and so does another field',
      remedy: 'Keep one of `to`, `room` and `all`.',
    },
  ]
}

/** Finds whom a message is for. One connection is answered as it is, several as something to go through; what is gone is told to `gone`. */
export type FindTargets = (
  message: Message,
  scope: Scope,
  connections: Connections,
  gone: (id: string) => void,
) => Connection | Iterable<Connection>

export function targetFinder(config: TargetsConfig, context: NodeContext): FindTargets {
  const find = finderOf(config, context)
  if (config.except === undefined) return find
  const read = context.reader(config.except)
  return (message, scope, connections, gone) => {
    const except = new Set(textsOf(read(message, scope), 'except'))
    const found = find(message, scope, connections, gone)
    if (found instanceof Connection) return except.has(found.id) ? [] : found
    return without(found, except)
  }
}

function finderOf(config: TargetsConfig, context: NodeContext): FindTargets {
  if (config.all) return (_message, _scope, connections) => connections.all()
  if (config.room !== undefined) {
    const read = context.reader(config.room)
    return (message, scope, connections) => {
      const rooms = textsOf(read(message, scope), 'room')
      if (rooms.length === 1) return connections.room(rooms[0] ?? '') ?? []
      return new Set(rooms.flatMap((each) => [...(connections.room(each) ?? [])]))
    }
  }
  const read = config.to === undefined ? null : context.reader(config.to)
  return (message, scope, connections, gone) => {
    const to: unknown = read === null ? message.key : read(message, scope)
    if (typeof to === 'string') return one(to, connections, gone)
    return textsOf(to, 'to').flatMap((each) => one(each, connections, gone))
  }
}

const nobody: readonly Connection[] = Object.freeze([])

function one(to: string, connections: Connections, gone: (id: string) => void): Connection | readonly Connection[] {
  const found = connections.get(to)
  if (found !== undefined) return found
  gone(to)
  return nobody
}

function* without(all: Iterable<Connection>, except: ReadonlySet<string>): Generator<Connection> {
  for (const each of all) if (!except.has(each.id)) yield each
}

/** An expression may give anything. */
export function textsOf(value: unknown, field: string): readonly string[] {
  const all: readonly unknown[] = Array.isArray(value) ? value : [value]
  return all.map((each) => {
    if (typeof each === 'string' && each !== '' && each.length <= roomNameCharactersMax) return each
    throw new NodeError(
      'websocket.bad-target',
      `\`${field}\` must be text of 1 to ${roomNameCharactersMax} characters or a list of such, and is ${JSON.stringify(each)?.slice(0, 80)}`,
    )
  })
}
