import { z } from '@hono/zod-openapi'
import type { Plan } from '../core/document/plan.ts'
import type { Deployed } from './workflows.ts'

const settings = z.record(z.string(), z.unknown())
const entry = z.object({
  id: z.string().describe('Node id of the trigger'),
  lifetime: z.enum(['event', 'stream']).describe('An event trigger can be started through the API'),
})

export const workflowSummarySchema = z
  .object({
    id: z.string(),
    name: z.string(),
    version: z.string(),
    ready: z.boolean(),
    running: z.number().int(),
    entries: z.array(entry),
  })
  .openapi('WorkflowSummary')

export const workflowSchema = workflowSummarySchema
  .extend({
    settings,
    nodes: z.array(
      z.object({
        id: z.string(),
        label: z.string(),
        type: z.string().describe('With its version: filter@1'),
        face: z.string(),
        outputs: z.array(z.string()),
        stage: z.number().int().describe('Nodes of one stage share one loop and its busy time'),
        position: z.object({ column: z.number().int(), row: z.number().int() }).describe('Where to draw it, in cells'),
      }),
    ),
    edges: z.array(z.object({ from: z.string(), fromPort: z.string(), to: z.string(), toPort: z.string() })),
  })
  .openapi('Workflow')

export type WorkflowSummary = z.infer<typeof workflowSummarySchema>
export type Workflow = z.infer<typeof workflowSchema>

export function summaryOf(deployed: Deployed): WorkflowSummary {
  const { plan, executions } = deployed.pipeline
  return {
    id: deployed.id,
    name: plan.workflow.name,
    version: plan.workflow.version,
    ready: deployed.ready,
    running: executions.size,
    entries: plan.entries.map((each) => ({ id: idOf(plan, each.node), lifetime: each.lifetime })),
  }
}

/** The workflow as a drawing needs it. Configs stay here: they may name things that are nobody's business. */
export function workflowOf(deployed: Deployed): Workflow {
  const { plan } = deployed.pipeline
  const positions = layOut(plan)
  return {
    ...summaryOf(deployed),
    settings: { ...plan.settings },
    nodes: plan.nodes.map(({ id, label, type, face, outputs, stage }, index) => ({
      id,
      label,
      type,
      face,
      outputs: [...outputs],
      stage,
      position: positions[index] ?? { column: 0, row: 0 },
    })),
    edges: plan.edges.map((edge) => ({
      from: idOf(plan, edge.from),
      fromPort: edge.fromPort,
      to: idOf(plan, edge.to),
      toPort: edge.toPort,
    })),
  }
}

function idOf(plan: Plan, index: number): string {
  return plan.nodes[index]?.id ?? ''
}

/** Columns by the longest way from a trigger, rows in the order of the plan. Links that close a cycle are not followed. */
function layOut(plan: Plan): readonly { readonly column: number; readonly row: number }[] {
  const columns = plan.nodes.map(() => 0)
  const forward = plan.edges.filter((edge) => edge.from < edge.to)
  for (const edge of [...forward].sort((a, b) => a.from - b.from || a.to - b.to))
    columns[edge.to] = Math.max(columns[edge.to] ?? 0, (columns[edge.from] ?? 0) + 1)
  const used = new Map<number, number>()
  return columns.map((column) => {
    const row = used.get(column) ?? 0
    used.set(column, row + 1)
    return { column, row }
  })
}
