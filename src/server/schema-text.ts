/** A JSON Schema as a person reads it: `{ name: string, runs?: Run[] }`, in HTML, with links to what it names. */
import { escaped } from './escaped.ts'

interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly format?: string
  readonly description?: string
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly Schema[]
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: Schema | boolean
}

export function schemaText(schema: Schema, indent = ''): string {
  const { $ref, type, format, anyOf, items, properties, additionalProperties } = schema
  if ($ref !== undefined) return linkTo($ref)
  if (schema.const !== undefined) return escaped(JSON.stringify(schema.const))
  if (schema.enum !== undefined) return schema.enum.map((value) => escaped(JSON.stringify(value))).join(' | ')
  if (anyOf !== undefined) return anyOf.map((one) => schemaText(one, indent)).join(' | ')
  if (items !== undefined)
    return items.anyOf === undefined ? `${schemaText(items, indent)}[]` : `(${schemaText(items, indent)})[]`
  if (properties !== undefined) return objectText(properties, schema.required ?? [], indent)
  if (typeof additionalProperties === 'object') return `{ [name]: ${schemaText(additionalProperties, indent)} }`
  return escaped(format ?? (typeof type === 'string' ? type : (type?.join(' | ') ?? 'anything')))
}

function objectText(properties: Readonly<Record<string, Schema>>, required: readonly string[], indent: string): string {
  const lines = Object.entries(properties).map(([name, schema]) => {
    const { description } = schema
    const remark = description === undefined ? '' : ` <i>${escaped(description)}</i>`
    return `${indent}  ${escaped(name)}${required.includes(name) ? '' : '?'}: ${schemaText(schema, `${indent}  `)}${remark}\n`
  })
  return `{\n${lines.join('')}${indent}}`
}

export function linkTo(reference: string): string {
  const name = escaped(reference.split('/').at(-1) ?? '')
  return `<a href="#schema-${name}">${name}</a>`
}
