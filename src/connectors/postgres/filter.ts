/** Filters as Postgres' SQL. */
import type { Field } from '../../core/schema.ts'
import { type Dialect, quote } from '../sql.ts'
import { literal } from './copy.ts'
import { nativeOf } from './types.ts'

export const postgresDialect: Dialect = {
  literal: (field, value) => literal(field, value, compared(field)),
  compare: (field, comparison, value) => {
    const column =
      field.type === 'text' || field.native === 'json' ? `${quote(field.name)}::${compared(field)}` : quote(field.name)
    return `${column} ${comparison} ${value}${field.type === 'text' ? ' COLLATE "C"' : ''}`
  },
}

/** Text is compared as text, byte by byte, also where the native type is an enum or an array; numbers without their limits. */
function compared(field: Field): string {
  if (field.type === 'integer' || field.type === 'decimal') return 'numeric'
  return nativeOf(field, 'syncline')
}
