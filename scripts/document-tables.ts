import { z } from 'zod'
import { fieldsOfSchema, fieldTable } from '../cli/node-docs.ts'
import { documentParts, documentSchema } from '../core/document/schema.ts'

/** The tables of the page on the document format, by name, from the schema that reads documents. */
export function documentTables(): Readonly<Record<string, string>> {
  const ofParts = Object.entries(documentParts).map(([name, schema]) => [name, table(schema)] as const)
  return { document: table(documentSchema), ...Object.fromEntries(ofParts) }
}

/** Only the fields of the object itself: what lies deeper has a table of its own. Throws for one that says nothing of its meaning. */
function table(schema: z.ZodType): string {
  const all = fieldsOfSchema(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }))
  const fields = all.filter((field) => !/[.[]/.test(field.name))
  for (const { name, text } of fields)
    if (text === '') throw new Error(`the field ${name} has no description; add one in core/document/schema.ts`)
  return fieldTable(fields)
}
