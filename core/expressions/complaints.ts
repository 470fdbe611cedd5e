import { nearest } from '../nearest.ts'
import type { FunctionSpec } from './functions.ts'
import { functionByName, namespaces } from './functions.ts'
import type { ExpressionScope } from './ir.ts'
import { limits } from './limits.ts'
import type { MethodSpec } from './methods.ts'
import { methodByName, replacements } from './methods.ts'
import { foreignNames, rootNames } from './names.ts'
import type { NodeReference } from './upstream.ts'

/** What is wrong with a piece of an expression, before it is known where that stands. */
export interface Complaint {
  readonly code: string
  readonly message: string
  readonly remedy: string
}

function notAllowed(message: string, remedy: string): Complaint {
  return { code: 'expression.not-allowed', message, remedy }
}

/** The complaints that are the same wherever they come up. */
export const complaints = {
  tooDeep: {
    code: 'expression.too-deep',
    message: `The expression is nested deeper than ${limits.depthMax} levels.`,
    remedy: 'Split it over several fields, or move the work into a task of a pool node.',
  },
  bigInteger: notAllowed('Big integers are not allowed.', 'Write a number, or a text.'),
  hole: notAllowed('A list with an empty place is not allowed.', 'Write undefined or null in it.'),
  wholeEnv: notAllowed('$env cannot be used as a whole.', 'Name the value: $env.NAME.'),
  optionalCall: notAllowed(
    'A call with ?.( is not allowed.',
    'Put the question mark before the name: value?.method(…).',
  ),
  callee: notAllowed(
    'Only methods and functions of the language can be called.',
    'Call a method on a value, such as $json.name.trim(), or a function such as Math.round(…).',
  ),
  computedMethod: notAllowed(
    'A method cannot be chosen by a computed name.',
    'Write the name of the method after a dot.',
  ),
  block: notAllowed(
    'A callback with a block is not allowed.',
    'Write one expression after the arrow, or use a task of a pool node.',
  ),
  parameter: notAllowed(
    'This parameter is not allowed.',
    'Use plain names, [a, b] or { a, b }, without defaults, rest or nesting.',
  ),
  objectMember: notAllowed('An object may hold values only, no methods, getters or setters.', 'Write name: value.'),
  protoField: {
    code: 'expression.forbidden-name',
    message: 'A field cannot be named __proto__.',
    remedy: 'Give the field another name.',
  },
  strayRegex: {
    code: 'expression.regex',
    message: 'A regular expression cannot stand here.',
    remedy:
      'Use it as the argument of match, matchAll, replace, replaceAll, search or split, or call test or exec on it.',
  },
} as const satisfies Readonly<Record<string, Complaint>>

export function forbiddenName(name: string): Complaint {
  return {
    code: 'expression.forbidden-name',
    message: `The name ${name} is not allowed.`,
    remedy: 'Rename the field where it is made, or leave it out.',
  }
}

/** A name that stands for nothing here, or for something that is no value. `locals` are the names of parameters. */
export function unknownName(name: string, locals: readonly string[]): Complaint {
  if (namespaces.has(name))
    return notAllowed(`${name} cannot be used as a value.`, `Call one of its functions, such as ${firstOf(name)}.`)
  if (functionByName.has(name))
    return notAllowed(`The function ${name} cannot be used as a value.`, `Call it: ${name}(…).`)
  if (name === '$input' || name === '$' || name === '$node')
    return notAllowed(
      `${name} cannot be used alone.`,
      "Write $json, or $('Name').item.json for the node before this one.",
    )
  const candidates = [...locals, ...rootNames.keys(), '$input', ...functionByName.keys(), ...namespaces]
  return {
    code: 'expression.unknown-name',
    message: `The name ${shown(name)} does not exist.`,
    remedy:
      foreignNames.get(name) ??
      didYouMean(name, candidates, 'Use $json for the value of the message, or put text in quotes.'),
  }
}

export function unknownField(object: string, name: string, fields: readonly string[]): Complaint {
  return {
    code: 'expression.unknown-name',
    message: `${object} has no ${shown(name)}.`,
    remedy: `Use ${fields.map((field) => `${object}.${field}`).join(' or ')}.`,
  }
}

export function unknownMethod(name: string): Complaint {
  return {
    code: 'expression.unknown-method',
    message: `There is no method ${shown(name)}.`,
    remedy:
      replacements.get(name) ??
      didYouMean(name, [...methodByName.keys()], 'See the list of methods in the docs of expressions.'),
  }
}

/** A function that the language does not have; null when the name is none of a function at all. */
export function unknownFunction(name: string): Complaint | null {
  const replacement = functionReplacements.get(name) ?? foreignNames.get(name)
  if (!name.includes('.') && replacement === undefined) return null
  return {
    code: 'expression.unknown-function',
    message: `There is no function ${shown(name)}.`,
    remedy:
      replacement ??
      didYouMean(name, [...functionByName.keys()], 'See the list of functions in the docs of expressions.'),
  }
}

export function wrongArguments(spec: MethodSpec | FunctionSpec, count: number): Complaint {
  const wanted = spec.argsMin === spec.argsMax ? `${spec.argsMin}` : `${spec.argsMin} to ${spec.argsMax}`
  return {
    code: 'expression.arguments',
    message: `${spec.name} takes ${wanted} ${wanted === '1' ? 'argument' : 'arguments'}, not ${count}.`,
    remedy: `Give it ${wanted}.`,
  }
}

export function needsArrow(name: string): Complaint {
  return notAllowed(`${name} needs an arrow function here.`, 'Write it in place, such as (item) => item.name.')
}

export function needsRegex(name: string): Complaint {
  return {
    code: 'expression.regex',
    message: `${name} needs a regular expression literal.`,
    remedy: `Write ${name}(/…/), or use includes or indexOf for plain text.`,
  }
}

/** Something of a node other than its JSON value, such as `$input.all()`; `what` is null for a plain read. */
export function onlyJson(source: NodeReference, method: string | null): Complaint {
  const remedy = `Write ${source.shown}.item.json.`
  return method === null
    ? notAllowed(`Only the JSON value of ${source.shown} can be read.`, remedy)
    : notAllowed(`${source.shown}.${method}(…) is not available.`, replacements.get(method) ?? remedy)
}

/** What is wrong with a reference to another node, or null: only the one direct upstream node has a value here. */
export function upstreamComplaint(scope: ExpressionScope, name: string): Complaint | null {
  const isNamed = (each: { readonly id: string; readonly label: string }): boolean =>
    each.id === name || each.label === name
  if (scope.upstream.some(isNamed)) {
    if (scope.upstream.length === 1) return null
    const ids = scope.upstream.map((each) => each.id)
    return {
      code: 'expression.several-upstream',
      message: `A message may come from ${ids.slice(0, -1).join(', ')} or ${ids.at(-1)}, not only from ${shown(name)}.`,
      remedy: 'Write $json, which is the value of the message wherever it came from.',
    }
  }
  if (scope.nodes.some(isNamed))
    return {
      code: 'expression.not-upstream',
      message: `The node ${shown(name)} is not directly before this one.`,
      remedy: 'Carry the value along in the message, for example with into: merge, and read it from $json.',
    }
  const candidates = scope.nodes.flatMap((each) => [each.id, each.label])
  return {
    code: 'expression.unknown-node',
    message: `There is no node ${shown(name)}.`,
    remedy: didYouMean(name, candidates, 'Write $json for the value of the message.'),
  }
}

const functionReplacements: ReadonlyMap<string, string> = new Map([
  ['Math.random', 'Make random values in a node; an expression gives the same result for the same message.'],
  ['DateTime.local', 'Use $now, or DateTime.fromObject({ … }).'],
  ['DateTime.utc', 'Use $now.toUTC(), or DateTime.fromObject({ … }, { zone: "utc" }).'],
  ['Object.defineProperty', 'Write a new object: { ...object, name: value }.'],
  ['$if', 'Give it a condition and two values, or write condition ? a : b.'],
])

function didYouMean(name: string, candidates: readonly string[], otherwise: string): string {
  const similar = nearest(name, candidates)
  return similar === null ? otherwise : `Did you mean ${similar}?`
}

function firstOf(namespace: string): string {
  return [...functionByName.keys()].find((name) => name.startsWith(`${namespace}.`)) ?? namespace
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 60))
}
