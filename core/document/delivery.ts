import type { Problem } from '../problem.ts'
import { problem } from '../problem.ts'
import type { Document } from './document.ts'
import type { ResolvedNode } from './resolved.ts'

/** Checks that the nodes can keep what `settings.delivery` and `settings.lanes` promise. */
export function checkDelivery(nodes: readonly ResolvedNode[], document: Document, problems: Problem[]): void {
  if (document.settings.delivery === 'exactly-once') checkExactlyOnce(nodes, problems)
  if (document.settings.lanes > 1) checkLanes(nodes, document, problems)
}

/**
 * One transaction holds what was written and what was read, so everything that reads or writes must take part in the same
 * system's transactions, and nothing may remember a message beyond the transaction that it came in.
 */
function checkExactlyOnce(nodes: readonly ResolvedNode[], problems: Problem[]): void {
  const remedy = 'Set `delivery: at-least-once`, or take the node out.'
  const say = (node: ResolvedNode, text: string, what: string): void => {
    problems.push(problem('delivery.not-exactly-once', node.place, `${node.id} ${text}`, what))
  }
  const triggers = nodes.filter((node) => node.definition.face.kind.endsWith('trigger'))
  const [first, second] = triggers
  if (first === undefined) return
  const parts = new Map(nodes.map((node) => [node, node.definition.transactions?.(node.config) ?? null]))
  const ofFirst = parts.get(first)
  if (second !== undefined)
    say(second, 'is a second trigger, and a transaction holds the positions of one', 'Make it a workflow of its own.')
  for (const node of nodes) {
    const { face, stateful } = node.definition
    if (node === first || face.kind === 'sink') {
      const part = parts.get(node) ?? null
      if (part === null) say(node, `(${node.definition.name}) takes part in no transaction`, remedy)
      else if ('message' in part)
        say(node, `(${node.definition.name}) takes part in no transaction: ${part.message}`, part.remedy)
      else if (ofFirst && 'system' in ofFirst && part.system !== ofFirst.system)
        say(node, `writes to another system than ${first.id} reads from: ${part.system} and ${ofFirst.system}`, remedy)
    } else if (stateful === true) say(node, 'keeps messages beyond the transaction that they came in', remedy)
    else if (face.kind === 'async' && face.limits(node.config).order === 'none')
      say(node, 'lets results overtake each other, so a transaction may not hold what was read for it', remedy)
  }
}

function checkLanes(nodes: readonly ResolvedNode[], document: Document, problems: Problem[]): void {
  for (const node of nodes) {
    const { face, partitioned } = node.definition
    if (face.kind === 'event-trigger' || (face.kind === 'stream-trigger' && partitioned !== true))
      problems.push(
        problem(
          'lanes.not-partitioned',
          node.place,
          `${node.id} (${node.definition.name}) has no partitions that ${document.settings.lanes} lanes could share`,
          'Set `lanes: 1`, or give this trigger a workflow of its own.',
        ),
      )
    else if (node.definition.stateful === true)
      problems.push(
        problem(
          'state.not-co-partitioned',
          node.place,
          `${node.id} keeps state per key, and messages of one key may come by different lanes`,
          'Set `lanes: 1`, or send the messages through a topic that is partitioned by this key.',
        ),
      )
  }
}
