import { stageText } from '../../core/compile/stage-text.ts'
import type { Plan, PlannedStage } from '../../core/document/plan.ts'
import { loadOrSay } from '../load.ts'

/** `millrace explain`: the plan, its stages, and the generated source of each, with the lines of the document. Opens and runs nothing. */
export function explain(file: string, options: { readonly json?: boolean }): void {
  const loaded = loadOrSay(file)
  if (loaded === null) return
  const { plan } = loaded
  if (options.json === true) {
    console.log(JSON.stringify(plan, null, 2))
    return
  }
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
    if (stage.kind === 'loop') console.log(`\n${sourceOf(plan, stage).replaceAll(/^/gm, '    ')}`)
  }
}

function sourceOf(plan: Plan, stage: PlannedStage): string {
  return stageText(plan, stage, { counters: plan.settings.telemetry !== 'off', immutable: false, taps: [] }).text
}

function exitsOf(plan: Plan, stage: PlannedStage): readonly string[] {
  return stage.exits.map((exit, index) => {
    const ports = stage.routes
      .filter((route) => route.exit === index)
      .map((route) => `${plan.nodes[route.node]?.id}.${route.port}`)
    return `${ports.join(', ')} -> ${exit.targets.map((target) => `stage ${target.stage}`).join(', ')}`
  })
}
