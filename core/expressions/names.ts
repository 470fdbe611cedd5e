import type { Root } from './ir.ts'

/** Names that lead out of the language. They are refused as literal names, and as computed keys at run time. */
export const forbiddenNames: ReadonlySet<string> = new Set([
  '__proto__',
  'constructor',
  'prototype',
  '__defineGetter__',
  '__defineSetter__',
  '__lookupGetter__',
  '__lookupSetter__',
])

/** The names of the language that stand for a value, with the root that they read. */
export const rootNames: ReadonlyMap<string, Root> = new Map<string, Root>([
  ['$json', 'json'],
  ['$now', 'now'],
  ['$today', 'today'],
  ['$vars', 'vars'],
  ['$env', 'env'],
  ['$request', 'request'],
  ['$execution', 'execution'],
  ['$workflow', 'workflow'],
  ['$key', 'key'],
  ['$meta', 'meta'],
])

/** What each name means, for the docs. */
export const nameSummaries: readonly (readonly [name: string, summary: string])[] = [
  ['$json', 'The value of the current message.'],
  ['$input.item.json', 'The same as `$json`; also `$input.first().json` and `$input.last().json`.'],
  [
    "$('Name').item.json",
    'The same, when `Name` (id or label) is the one node directly before this one; also `$node["Name"].json`.',
  ],
  ['$now', 'The time of the batch, as a date.'],
  ['$today', 'The start of the day of `$now`, as a date.'],
  ['$vars.name', 'A variable of the host, read once per batch.'],
  ['$env.NAME', 'An environment value that the host allows, read at start.'],
  ['$request', 'The HTTP request that the message came with: `method`, `path`, `params`, `query`, `headers`, `body`.'],
  ['$execution.id, $execution.mode', 'The execution.'],
  ['$workflow.id, $workflow.name, $workflow.version', 'The workflow.'],
  ['$key', "The message's key: text, bytes or null."],
  ['$meta', 'What travels beside the value, for example headers.'],
]

/** Names of other languages of this kind, each with what to write instead. */
export const foreignNames: ReadonlyMap<string, string> = new Map([
  ['$binary', 'Read files through the node that carries them; expressions see JSON values only.'],
  ['$item', 'Use $json: an expression sees one message.'],
  ['$items', 'Use $json: an expression sees one message; collect several with a window or batch node.'],
  ['$itemIndex', 'Count with a stateful node; an expression does not know the position of its message.'],
  ['$position', 'Count with a stateful node; an expression does not know the position of its message.'],
  ['$runIndex', 'Leave it out; there are no runs of a node, only messages.'],
  ['$parameter', 'Write the value itself, or keep it in $vars.'],
  ['$prevNode', "Use $json; $('Name') names the node before."],
  ['$jmespath', 'Use map, filter and find.'],
  ['$fromAI', 'Write the value itself.'],
  ['$secrets', 'Use a credential of the node.'],
  ['$evaluateExpression', 'Write the expression itself.'],
  ['$jsonschema', 'Use a validate node.'],
])

/** Values of a name that have a fixed set of fields. */
export const fixedFields: ReadonlyMap<Root, readonly string[]> = new Map<Root, readonly string[]>([
  ['execution', ['id', 'mode']],
  ['workflow', ['id', 'name', 'version']],
])

/**
 * True when some built-in value has a function, or something else that a message never holds, under this name.
 * Such a name is read through a filter that turns functions into undefined, so that `$json.map` is a field or nothing.
 */
export function isGuardedName(name: string): boolean {
  return guarded.has(name)
}

const dateTimeMethods =
  'get set diff plus minus until hasSame equals startOf endOf toISO toFormat toMillis toObject toString toLocaleString reconfigure'

const guarded: ReadonlySet<string> = new Set([...builtInFunctionNames(), ...dateTimeMethods.split(' ')])

function builtInFunctionNames(): string[] {
  const typedArray: unknown = Object.getPrototypeOf(Uint8Array.prototype)
  const iterator: unknown = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()))
  const owners: readonly unknown[] = [
    Object.prototype,
    Function.prototype,
    Array.prototype,
    String.prototype,
    Number.prototype,
    Boolean.prototype,
    BigInt.prototype,
    Symbol.prototype,
    Date.prototype,
    RegExp.prototype,
    Error.prototype,
    Map.prototype,
    Set.prototype,
    WeakMap.prototype,
    Promise.prototype,
    ArrayBuffer.prototype,
    DataView.prototype,
    URL.prototype,
    URLSearchParams.prototype,
    AbortSignal.prototype,
    typedArray,
    iterator,
  ]
  return owners.flatMap((owner) =>
    Object.entries(Object.getOwnPropertyDescriptors(owner))
      .filter(([, descriptor]) => typeof descriptor.value === 'function')
      .map(([name]) => name),
  )
}
