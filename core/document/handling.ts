import type { AnyDefinition } from '../define.ts'
import type { Place, Problem } from '../problem.ts'
import { problem } from '../problem.ts'
import type { DocumentNode } from './document.ts'

/** Checks that what a node says of the old value (`into`) and of failures (`onError`) does something there. */
export function checkHandling(
  node: DocumentNode,
  definition: AnyDefinition,
  place: (field: string) => Place,
  problems: Problem[],
): void {
  const isCall = definition.face.kind === 'call'
  if (node.into !== 'replace' && definition.makesResult !== true)
    problems.push(
      problem(
        'document.into-without-result',
        place('into'),
        `${definition.name} makes no value of its own, so \`into\` would do nothing`,
        isCall
          ? 'Write `into` on the nodes of the called workflow that make a new value.'
          : 'Remove it, or write it on a node that makes a new value, such as set.',
      ),
    )
  if (isCall && node.onError !== null && node.onError.kind !== 'route')
    problems.push(
      problem(
        'call.on-error',
        place('onError'),
        `onError: ${node.onError.kind} would do nothing here: messages fail in the nodes of the called workflow`,
        'Write it on those nodes; what they do not handle leaves this call by its port `error`.',
      ),
    )
  else if (definition.face.kind.endsWith('trigger') && node.onError !== null && node.onError.kind !== 'route')
    problems.push(
      problem(
        'document.on-error-of-trigger',
        place('onError'),
        `onError: ${node.onError.kind} would do nothing here: messages begin in a trigger, and fail in the nodes behind it`,
        'Write it on those nodes; what a trigger cannot read leaves by its port `error`, or goes to the dead-letter.',
      ),
    )
  else if (node.onError?.kind === 'retry' && !['async', 'expand', 'sink'].includes(definition.face.kind))
    problems.push(
      problem(
        'document.retry-without-attempt',
        place('onError'),
        `${definition.name} works in memory: trying again gives the same result`,
        'Use onError: route, drop or stop here.',
      ),
    )
}
