/** What several answers hold. */
import { z } from 'zod'
import type { Failure } from '../../core/run.ts'

export const text = z.string()
export const count = z.int().nonnegative()
export const instant = z.iso.datetime()
export const failure = z.strictObject({ code: text, message: text, hint: text.nullable() }) satisfies z.ZodType<Failure>
/** Of a row: integers beyond 2^53, decimals and bytes (as hex) are text. */
export const value = z.union([text, z.number(), z.boolean(), z.null()])
/** By the names of the fields. */
export const key = z.record(text, value)
export const jsonSchema = z.record(text, z.unknown()).describe('a JSON Schema')
export const project = text.nullable().describe('null: nobody’s in particular')

export function list<Item extends z.ZodType>(items: Item) {
  return z.strictObject({ items: z.array(items) })
}

export function page<Item extends z.ZodType>(items: Item) {
  return z.strictObject({
    items: z.array(items),
    next: text.nullable().describe('the `after` of the next page; null: this is the last'),
  })
}
