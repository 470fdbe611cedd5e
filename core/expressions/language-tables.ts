import { functions } from './functions.ts'
import type { Kind } from './methods.ts'
import { methods } from './methods.ts'
import { nameSummaries } from './names.ts'

const kindTitles: readonly (readonly [Kind, string])[] = [
  ['string', 'Text'],
  ['array', 'Lists'],
  ['number', 'Numbers'],
  ['boolean', 'True and false'],
  ['object', 'Objects'],
  ['date', 'Dates (`$now`, `$today`, `DateTime.…`)'],
  ['duration', 'Durations'],
  ['jsdate', "JavaScript's own Date, which some connectors deliver"],
  ['regex', 'Regular expressions'],
]

/** The tables of the page on expressions, in Markdown, made of the lists that the check and the run time read. */
export function languageTables(): string {
  const names = table(['Name', 'Value'], nameSummaries)
  const byKind = kindTitles.map(([kind, title]) => {
    const rows = methods
      .filter((spec) => spec.on.includes(kind))
      .map((spec) => [call(spec.name, spec), spec.summary] as const)
    return `### ${title}\n\n${table(['Method', 'Answers'], rows)}`
  })
  const calls = functions.map((spec) => [call(spec.name, spec), spec.summary] as const)
  return [
    `## Names\n\n${names}`,
    '## Methods',
    ...byKind,
    `## Functions\n\n${table(['Function', 'Answers'], calls)}`,
  ].join('\n\n')
}

function table(head: readonly [string, string], rows: readonly (readonly [string, string])[]): string {
  const lines = rows.map(([left, right]) => `| ${left.startsWith('`') ? left : `\`${left}\``} | ${right} |`)
  return [`| ${head[0]} | ${head[1]} |`, '|---|---|', ...lines].join('\n')
}

/** `slice(…)`, `map(callback)`, `trim()`. */
function call(
  name: string,
  spec: { readonly argsMin: number; readonly argsMax: number; readonly callback: number | null },
): string {
  if (spec.argsMax === 0) return `\`${name}()\``
  const first = spec.callback === 0 ? 'callback' : '…'
  return `\`${name}(${spec.argsMin === 0 ? `[${first}]` : first})\``
}
