import { z } from 'zod'
import type { FieldDocs } from '../cli/node-docs.ts'
import { fieldsOfSchema, fieldTable } from '../cli/node-docs.ts'
import { documentParts, documentSchema } from '../core/document/schema.ts'

/** The tables of the page on the document format, by name, from the schema that reads documents. */
export function documentTables(): Readonly<Record<string, string>> {
  const ofParts = Object.entries(documentParts).map(([name, schema]) => [name, table(schema)] as const)
  return { document: table(documentSchema), ...Object.fromEntries(ofParts) }
}

/** Only the fields of the object itself: what lies deeper has a table of its own. */
function table(schema: z.ZodType): string {
  return fieldTable(fieldsOf(schema).filter((field) => !/[.[]/.test(field.name)))
}

/** The fields of a part of a document. Throws for one that says nothing of its meaning. */
function fieldsOf(schema: z.ZodType): readonly FieldDocs[] {
  const fields = fieldsOfSchema(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }))
  for (const field of fields)
    if (field.text === '' && !field.name.startsWith('position.'))
      throw new Error(`the field ${field.name} has no description; add one in core/document/schema.ts`)
  return fields
}
