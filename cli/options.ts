import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { UsageError } from './usage-error.ts'

/** What a person allows documents to reach and know, the same for `run` and `serve`. */
export interface WorldOptions {
  readonly set?: readonly string[]
  readonly allowEnv?: readonly string[]
  readonly allowFolder?: readonly string[]
  readonly tasks?: readonly string[]
  readonly deadLetter?: string
  readonly trace?: string
  readonly otlp?: string
}

/** A port number from text. */
export function portOf(text: string): number {
  const port = Number(text)
  if (text.trim() !== '' && Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  throw new UsageError(`the port is ${JSON.stringify(text)}, not a number from 0 to 65535`)
}

/** Variables from `NAME=VALUE` texts; a value that is JSON is read as JSON. */
export function variablesOf(texts: readonly string[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    texts.map((text) => {
      const [, name, value] = text.match(/^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s) ?? []
      if (name === undefined || value === undefined)
        throw new UsageError(`--set got ${JSON.stringify(text)}, not NAME=VALUE; write for example --set rate=1.2`)
      return [name, variableOf(name, value)]
    }),
  )
}

/** The address of a collector of spans. */
export function collectorOf(url: string): string {
  if (URL.canParse(url) && /^https?:/.test(url)) return url
  throw new UsageError(`--otlp is ${JSON.stringify(url)}; write for example --otlp http://127.0.0.1:4318`)
}

/** Origins of pages, as browsers send them. */
export function originsOf(texts: readonly string[]): readonly string[] {
  return texts.map((text) => {
    const origin = URL.canParse(text) ? new URL(text).origin : 'null'
    if (origin !== 'null' && text.replace(/\/$/, '').toLowerCase() === origin) return origin
    throw new UsageError(`--origin is ${JSON.stringify(text)}; write for example --origin http://localhost:5173`)
  })
}

/** Names of hosts, without a port. */
export function hostnamesOf(texts: readonly string[]): readonly string[] {
  return texts.map((text) => {
    const address = `http://${text}`
    if (text !== '' && URL.canParse(address) && new URL(address).hostname === text.toLowerCase())
      return text.toLowerCase()
    throw new UsageError(`--hostname is ${JSON.stringify(text)}; write for example --hostname orders.example`)
  })
}

/** Addresses of modules that define tasks. */
export function taskModulesOf(files: readonly string[]): readonly URL[] {
  return files.map((file) => {
    if (!existsSync(file)) throw new UsageError(`--tasks names ${file}, but there is no such file`)
    return pathToFileURL(resolve(file))
  })
}

function variableOf(name: string, text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return text
  }
  if (/^\s*-?\d+\s*$/.test(text) && !Number.isSafeInteger(value))
    throw new UsageError(
      `--set ${name}=${text}: numbers are exact up to ${Number.MAX_SAFE_INTEGER}, and this would become ${value}; as text it stays as it is: --set '${name}="${text.trim()}"'`,
    )
  return value
}
