import type { Problem } from '../problem.ts'
import { problem } from '../problem.ts'
import type { ResolvedNode } from './resolved.ts'

/** Nodes that run as one loop. A generated text nests as its nodes do, and engines read only so deep. */
export const stageNodesMax = 100
/** Stages in a row. A stage hands its batch to the next one by a call, so a row of them needs that much stack. */
export const stagesInRowMax = 100

/** What of a planned stage tells how deep it stands. */
interface StageLinks {
  readonly index: number
  readonly nodes: readonly number[]
  readonly exits: readonly { readonly targets: readonly { readonly stage: number }[] }[]
}

/** A problem when too many stages follow each other; the first one beyond the limit is named. */
export function checkDepth(stages: readonly StageLinks[], nodes: readonly ResolvedNode[]): readonly Problem[] {
  const depths = stages.map(() => 1)
  for (const stage of stages) {
    const depth = depths[stage.index] ?? 1
    const node = nodes[stage.nodes[0] ?? -1]
    if (depth > stagesInRowMax && node !== undefined)
      return [
        problem(
          'document.chain-too-long',
          node.place,
          `${node.id} stands behind ${stagesInRowMax} stages in a row, which is the limit`,
          'Join nodes that do the same, or make two workflows of it, with a topic or a file between them.',
        ),
      ]
    // Stages stand in the order of the data: a target that comes before closes a cycle, and its messages wait in a queue.
    for (const exit of stage.exits)
      for (const target of exit.targets)
        if (target.stage > stage.index) depths[target.stage] = Math.max(depths[target.stage] ?? 1, depth + 1)
  }
  return []
}
