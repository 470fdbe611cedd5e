import { InvalidArgumentError } from 'commander'

/** A port number from text. */
export function portOf(text: string): number {
  const port = Number(text)
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  throw new InvalidArgumentError(`the port is ${JSON.stringify(text)}, not a number from 0 to 65535`)
}

/** Variables from `NAME=VALUE` texts; a value that is JSON is read as JSON. */
export function variablesOf(texts: readonly string[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    texts.map((text) => {
      const [, name, value] = text.match(/^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s) ?? []
      if (name === undefined || value === undefined)
        throw new InvalidArgumentError(`${JSON.stringify(text)} is not NAME=VALUE`)
      return [name, jsonOrText(value)]
    }),
  )
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
