import { stringify } from 'yaml'
import { z } from 'zod'
import type { AnyDefinition, NodeType } from '../core/define.ts'

/** One field of a node's config, as its schema describes it. */
export interface FieldDocs {
  readonly name: string
  readonly type: string
  readonly required: boolean
  readonly fallback: string | null
  readonly limits: string
  readonly text: string
}

/** Fields of a definition's config, nested ones with dotted names. */
export function fieldsOf(definition: AnyDefinition): readonly FieldDocs[] {
  const schema = z.toJSONSchema(definition.config, {
    io: 'input',
    unrepresentable: 'any',
    // zod leaves out the default of what it transforms, as it does a field for an expression and all that holds one.
    override: ({ zodSchema, jsonSchema }) => {
      const { def } = zodSchema._zod
      if (def.type === 'default') jsonSchema.default = def.defaultValue
    },
  })
  return fieldsOfSchema(schema)
}

/** Fields of an object's JSON schema, nested ones with dotted names. */
export function fieldsOfSchema(schema: Schema): readonly FieldDocs[] {
  return walk(schema, '')
}

/** Fields as a Markdown table, with its head. */
export function fieldTable(fields: readonly FieldDocs[]): string {
  return [
    '| field | type | default | limits | meaning |',
    '|---|---|---|---|---|',
    ...fields.map(
      (field) =>
        `| \`${field.name}\` | ${field.type} | ${field.required ? '**required**' : (field.fallback ?? '')} | ${field.limits} | ${field.text} |`,
    ),
  ].join('\n')
}

/** The docs of a node type at its latest version, as Markdown: written from what the definition says, by nobody's hand. */
export function nodeMarkdown(type: NodeType): string {
  const definition = type.versions[type.latest]
  if (definition === undefined) return ''
  const fields = fieldsOf(definition)
  const lines = [
    `## ${definition.name}@${definition.version}`,
    '',
    definition.summary,
    ...(definition.notes === undefined ? [] : ['', definition.notes]),
    '',
    `*Kind* ${kindOf(definition)} · *in* ${portsOf(definition.inputs)} · *out* ${outputsOf(definition)}`,
    '',
    fields.length === 0 ? 'It has no settings.' : fieldTable(fields),
    '',
    ...definition.examples.flatMap((example) => [
      `**${example.title}**`,
      '',
      '```yaml',
      stringify(
        {
          type: `${definition.name}@${definition.version}`,
          ...(example.into === undefined ? {} : { into: example.into }),
          ...(Object.keys(example.config).length === 0 ? {} : { config: example.config }),
        },
        { lineWidth: 0 },
      ).trimEnd(),
      ...(example.input.length === 0 ? [] : [`# in:  ${example.input.map((each) => JSON.stringify(each)).join(', ')}`]),
      ...(example.output === null
        ? []
        : Object.entries(example.output).map(
            ([port, values]) => `# ${port}: ${values.map((each) => JSON.stringify(each)).join(', ')}`,
          )),
      '```',
      '',
    ]),
  ]
  return lines.join('\n')
}

function kindOf(definition: AnyDefinition): string {
  const { kind } = definition.face
  if (kind === 'event-trigger') return 'trigger, an execution per event'
  if (kind === 'stream-trigger') return 'trigger, one long-lived execution'
  if (kind === 'sink') return 'sink'
  return 'operator'
}

function portsOf(ports: readonly string[]): string {
  return ports.length === 0 ? 'nothing' : ports.map((port) => `\`${port}\``).join(', ')
}

function outputsOf(definition: AnyDefinition): string {
  const trigger = definition.face.kind.endsWith('trigger')
  const named =
    typeof definition.outputs === 'function' ? ['by its config'] : definition.outputs.map((port) => `\`${port}\``)
  return [...named, ...(trigger ? [] : ['`error`'])].join(', ')
}

export type Schema = z.core.JSONSchema.BaseSchema

function walk(schema: Schema, prefix: string): readonly FieldDocs[] {
  const required = new Set(schema.required ?? [])
  return Object.entries(schema.properties ?? {}).flatMap(([name, each]) => {
    if (typeof each === 'boolean') return []
    const path = `${prefix}${name}`
    const inner = innerOf(each)
    const own: FieldDocs = {
      name: path,
      type: typeOf(each),
      required: required.has(name) && each.default === undefined,
      fallback: fallbackOf(each.default),
      limits: limitsOf(inner),
      text: (each.description ?? '').replaceAll('|', '\\|'),
    }
    const nested = walkInside(inner, path)
    return [own, ...nested]
  })
}

/** Fields that lie deeper: in an object, in the objects of a list or of free names, and in those that stand beside other forms. */
function walkInside(schema: Schema, path: string): readonly FieldDocs[] {
  const { items, additionalProperties } = schema
  const forms = (schema.anyOf ?? []).filter((each) => isSchema(each) && each.type === 'object')
  return [
    ...walk(schema, `${path}.`),
    ...(isSchema(items) ? walk(items, `${path}[].`) : []),
    ...(isSchema(additionalProperties) ? walk(additionalProperties, `${path}.NAME.`) : []),
    // Of several forms each has what it must have; the whole has not.
    ...forms.flatMap((form) =>
      walk(form, `${path}.`).map((field) => (forms.length > 1 ? { ...field, required: false } : field)),
    ),
  ]
}

/** Whether a value may be read as a JSON schema. */
export function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A default as text; that of an expression's field is its constant, where null and no text stand for nothing said. */
function fallbackOf(value: unknown): string | null {
  if (value === undefined) return null
  if (typeof value !== 'object' || value === null || !('$expression' in value)) return `\`${JSON.stringify(value)}\``
  return 'constant' in value && value.constant !== null && value.constant !== ''
    ? `\`${JSON.stringify(value.constant)}\``
    : null
}

/** What an expression's value must be, where the field takes one; else the field's own schema. */
function innerOf(schema: Schema): Schema {
  const { inner } = schema
  return isSchema(inner) ? inner : schema
}

function typeOf(schema: Schema): string {
  const inner = innerOf(schema)
  const base = plainType(inner)
  if (schema.expression === 'message') return `${base} or expression`
  if (schema.expression === 'start') return `${base} or expression known at start`
  return base
}

function plainType(schema: Schema): string {
  if (schema.enum !== undefined) return schema.enum.map((each) => `\`${String(each)}\``).join(', ')
  if (schema.anyOf?.some((each) => isSchema(each) && each.type === 'array')) return 'any JSON'
  if (schema.anyOf !== undefined)
    return [...new Set(schema.anyOf.map((each) => (isSchema(each) ? plainType(each) : 'any')))].slice(0, 4).join(' or ')
  if (schema.$ref !== undefined) return 'any JSON'
  if (schema.type === 'array') return isSchema(schema.items) ? `list of ${plainType(schema.items)}` : 'list'
  return typeof schema.type === 'string' ? schema.type : 'any JSON'
}

function limitsOf(schema: Schema): string {
  const from = schema.minimum ?? schema.minLength ?? schema.minItems
  const to = schema.maximum ?? schema.maxLength ?? schema.maxItems
  const what = schema.type === 'string' ? ' characters' : schema.type === 'array' ? ' items' : ''
  if (from !== undefined && to !== undefined) return `${from} to ${to}${what}`
  if (to !== undefined) return `at most ${to}${what}`
  return from === undefined ? '' : `at least ${from}${what}`
}
