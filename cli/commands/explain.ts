import { compile } from '../../core/compile/compile.ts'
import type { Plan, PlannedStage } from '../../core/document/plan.ts'
import { formatProblem } from '../../core/problem.ts'
import { testHost } from '../../core/testing.ts'
import { catalogue } from '../../nodes.ts'
import { load } from '../load.ts'

/** `millrace explain`: the plan, its stages, and the generated source of each, with the lines of the document. */
export function explain(file: string, options: { readonly json?: boolean }): void {
  const result = load(file)
  if (!result.ok) {
    for (const each of result.problems) console.error(`${file}:${formatProblem(each)}`)
    process.exitCode = 2
    return
  }
  const { plan } = result.value
  if (options.json === true) {
    console.log(JSON.stringify(plan, null, 2))
    return
  }
  // Compiled on a host without a world: explaining opens nothing.
  const outside = testHost({
    pools: { pool: () => ({ call: never, cast: never, stream: () => neverStream }) },
    hub: { route: () => () => undefined },
    topics: { publish: never },
  })
  const pipeline = compile(plan, catalogue, outside)
  console.log(`${plan.workflow.name}: ${plan.nodes.length} nodes in ${plan.stages.length} stages`)
  console.log(
    `telemetry ${plan.settings.telemetry}, ${plan.settings.delivery}, at most ${plan.settings.inFlightMax} messages in flight per trigger\n`,
  )
  for (const entry of plan.entries)
    console.log(
      `entry ${plan.nodes[entry.node]?.id}: ${entry.lifetime === 'event' ? 'an execution per event' : 'one long-lived execution'}`,
    )
  for (const stage of plan.stages) {
    console.log(`\nstage ${stage.index}: ${stage.kind}${stage.ownsValues ? ', changes values in place' : ''}`)
    for (const index of stage.nodes) {
      const node = plan.nodes[index]
      if (node !== undefined)
        console.log(`  ${node.id} (${node.type})${node.line === null ? '' : ` line ${node.line}`}`)
    }
    for (const line of exitsOf(plan, stage)) console.log(`  ${line}`)
    const source = pipeline.sourceOf(stage.index)
    if (source !== '') console.log(`\n${source.replaceAll(/^/gm, '    ')}`)
  }
}

function exitsOf(plan: Plan, stage: PlannedStage): readonly string[] {
  return stage.exits.map((exit, index) => {
    const ports = stage.routes
      .filter((route) => route.exit === index)
      .map((route) => `${plan.nodes[route.node]?.id}.${route.port}`)
    return `${ports.join(', ')} -> ${exit.targets.map((target) => `stage ${target.stage}`).join(', ')}`
  })
}

async function never(): Promise<never> {
  throw new Error('explaining runs nothing')
}

const neverStream: AsyncIterable<never> = { [Symbol.asyncIterator]: () => ({ next: never }) }
