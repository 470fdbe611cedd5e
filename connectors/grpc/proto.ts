import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import type { Root, Type } from 'protobufjs'
import { NodeError } from '../../core/flow/failure.ts'
import type { Files } from '../../core/host.ts'

/** A method of a service, with the types of what goes in and what comes out. */
export interface Method {
  /** `/package.Service/Method` */
  readonly path: string
  readonly request: Type
  readonly response: Type
  readonly requestStream: boolean
  readonly responseStream: boolean
}

export interface ProtoPlace {
  /** A `.proto` file. */
  readonly file: string
  /** Folders in which imports are looked for, after the file's own. */
  readonly folders: readonly string[]
  /** `package.Service` */
  readonly service: string
  readonly method: string
}

/** Reads a `.proto` file with what it imports, all of it from allowed folders, and finds a method. Throws a NodeError `grpc.bad-proto`, `grpc.unknown-method`. */
export function loadMethod(place: ProtoPlace, files: Files): Method {
  const root = load(place, files)
  const service = root.lookup(place.service, protobuf().Service)
  if (!(service instanceof protobuf().Service))
    throw new NodeError(
      'grpc.unknown-method',
      `${place.file} has no service ${place.service}; it has ${servicesOf(root).join(', ') || 'none'}`,
    )
  const method = service.methods[place.method]
  if (method === undefined)
    throw new NodeError(
      'grpc.unknown-method',
      `${place.service} has no method ${place.method}; it has ${Object.keys(service.methods).join(', ') || 'none'}`,
    )
  method.resolve()
  const { resolvedRequestType, resolvedResponseType } = method
  if (resolvedRequestType === null || resolvedResponseType === null)
    throw new NodeError('grpc.bad-proto', `the types of ${place.service}.${place.method} are not in ${place.file}`)
  return {
    path: `/${service.fullName.replace(/^\./, '')}/${place.method}`,
    request: resolvedRequestType,
    response: resolvedResponseType,
    requestStream: method.requestStream === true,
    responseStream: method.responseStream === true,
  }
}

function load(place: ProtoPlace, files: Files): Root {
  const { Root } = protobuf()
  const main = files.resolve(place.file, 'read')
  const folders = [dirname(place.file), ...place.folders]
  const root = new Root()
  // Every file comes through here, so that none is read that the host does not allow.
  root.resolvePath = (origin, target) => {
    if (origin === '') return target
    const found = folders.map((folder) => files.resolve(join(folder, target), 'read')).find((path) => existsSync(path))
    if (found !== undefined) return found
    throw new NodeError(
      'grpc.bad-proto',
      `${basename(origin)} imports ${target}, which is in none of ${folders.join(', ')}; name its folder in \`protoFolders\``,
    )
  }
  try {
    root.loadSync(main, { keepCase: true })
    root.resolveAll()
    return root
  } catch (thrown) {
    if (thrown instanceof NodeError) throw thrown
    const text = thrown instanceof Error ? thrown.message : String(thrown)
    throw new NodeError(
      'grpc.bad-proto',
      `cannot read ${place.file}: ${text.slice(0, 500).replaceAll(main, place.file)}`,
      {
        cause: thrown,
      },
    )
  }
}

function servicesOf(root: Root): readonly string[] {
  const { Namespace, Service } = protobuf()
  const found: string[] = []
  const walk = (namespace: InstanceType<typeof Namespace>): void => {
    for (const each of namespace.nestedArray) {
      if (each instanceof Service) found.push(each.fullName.replace(/^\./, ''))
      else if (each instanceof Namespace) walk(each)
    }
  }
  walk(root)
  return found
}

type Protobuf = typeof import('protobufjs')

let loaded: Protobuf | null = null

/** The library is loaded by the first document that speaks gRPC. */
export function protobuf(): Protobuf {
  if (loaded === null) {
    const require = createRequire(import.meta.url)
    const library: Protobuf = require('protobufjs')
    // What files with options of their own import; the other files of google/protobuf are known already.
    const descriptor = require('protobufjs/google/protobuf/descriptor.json')
    library.common('descriptor', descriptor.nested.google.nested.protobuf.nested)
    loaded = library
  }
  return loaded
}
