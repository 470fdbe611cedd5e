import type { WorkflowFigures } from './live-figures.ts'
import { count } from './progress.ts'
import { age } from './source-table.ts'
import { table } from './table.ts'

/** A line of a screen; how it looks is said for all of it. */
export interface ViewLine {
  readonly text: string
  readonly look: 'plain' | 'strong' | 'faint'
}

const marks: Readonly<Record<WorkflowFigures['state'], string>> = {
  starting: '◌',
  running: '●',
  paused: '‖',
  waiting: '↻',
  listening: '○',
}

/** The figures of all workflows as lines of at most `width` characters. */
export function topView(workflows: readonly WorkflowFigures[], width: number): readonly ViewLine[] {
  const lines = workflows.flatMap((each) => [...workflowLines(each, width), plain('')])
  return lines.map((line) => ({ ...line, text: cut(line.text, width) }))
}

function workflowLines(figures: WorkflowFigures, width: number): readonly ViewLine[] {
  const { id, state, inPerSecond, outPerSecond, lag } = figures
  const facts = [
    inPerSecond === null || outPerSecond === null
      ? 'no figures: telemetry is off'
      : `in ${count(inPerSecond)}/s  out ${count(outPerSecond)}/s`,
    `in flight ${count(figures.inFlight)} of ${count(figures.inFlightMax)}`,
    ...(lag === null ? [] : [`lag ${count(lag)}`]),
    `oldest ${age(figures.oldestMs)}`,
    `errors ${figures.errors === null ? '–' : count(figures.errors)}`,
    ...(figures.deadLetters > 0 ? [`dead letters ${count(figures.deadLetters)}`] : []),
    ...(figures.restarts > 0 ? [`restarts ${count(figures.restarts)}`] : []),
    ...(state === 'listening' ? [`executions ${count(figures.running)}`] : []),
  ]
  return [
    { text: `${marks[state]} ${id}  ${state}`, look: 'strong' },
    ...wrapped(facts, width - 2).map((text) => plain(`  ${text}`)),
    ...tableLines(nodeTable(figures, width)),
    ...(figures.sources.some((each) => each.partitions.length > 0) ? tableLines(partitionTable(figures)) : []),
  ]
}

function nodeTable({ nodes }: WorkflowFigures, width: number): string {
  if (nodes.length === 0) return ''
  const nameMax = Math.max(12, width - 56)
  const rows = nodes.map((each) => [
    cut(each.node, nameMax),
    count(each.inPerSecond),
    count(each.outPerSecond),
    count(each.errors),
    `${Math.round(each.busyShare * 100)} %`,
    bar(each.busyShare),
  ])
  return table(['node', 'in/s', 'out/s', 'errors', 'busy', ''], rows, 1)
}

function partitionTable({ sources }: WorkflowFigures): string {
  const number = (value: number | null): string => (value === null ? '–' : count(value))
  const rows = sources.flatMap((source) =>
    source.partitions.map((each) => [
      each.partition,
      source.state,
      number(each.next),
      number(each.committed),
      number(each.lag),
      number(each.inFlight),
      age(each.oldestMs),
    ]),
  )
  return table(['partition', 'state', 'next', 'committed', 'lag', 'in flight', 'oldest'], rows, 2)
}

/** The first line of a table is its head. */
function tableLines(text: string): readonly ViewLine[] {
  if (text === '') return []
  return text.split('\n').map((line, index) => ({ text: `  ${line}`, look: index === 0 ? 'faint' : 'plain' }))
}

const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const
const barWidth = 10

/** Ten cells; a stage of several lanes can be busier than one thread, and then the bar is full. */
function bar(share: number): string {
  const filled = Math.min(1, Math.max(0, share)) * barWidth
  const whole = Math.floor(filled)
  return `${'█'.repeat(whole)}${eighths[Math.floor((filled - whole) * 8)] ?? ''}`.padEnd(barWidth)
}

function wrapped(facts: readonly string[], width: number): readonly string[] {
  const lines: string[] = []
  for (const fact of facts) {
    const last = lines[lines.length - 1]
    if (last !== undefined && last.length + 3 + fact.length <= width) lines[lines.length - 1] = `${last}   ${fact}`
    else lines.push(fact)
  }
  return lines
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`
}

function plain(text: string): ViewLine {
  return { text, look: 'plain' }
}
