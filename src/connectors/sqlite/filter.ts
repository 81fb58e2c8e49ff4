/** Filters as SQLite's SQL. */
import type { Field } from '../../core/schema.ts'
import { type Dialect, quote, text } from '../sql.ts'
import { toStorage } from './types.ts'

export const sqliteDialect: Dialect = {
  literal: (field, value) => {
    const stored = toStorage(field, value, false)
    if (stored === null) return 'NULL'
    if (typeof stored === 'string') return text(stored)
    if (typeof stored === 'object') return `X'${Buffer.from(stored).toString('hex')}'`
    if (stored === Infinity || stored === -Infinity) return stored > 0 ? '9e999' : '-9e999'
    return field.type === 'float' && Number.isInteger(stored) ? `${stored}.0` : String(stored)
  },
  compare: (field, comparison, literal) => {
    const column = quote(field.name)
    // Decimals and times stand as text, whose order is not theirs: ask the same code that orders them in process.
    if (ordered(field)) return `_syncline_order(${text(field.type)}, ${column}, ${literal}) ${comparison} 0`
    return `${column} ${comparison} ${literal} ${field.type === 'text' || field.type === 'uuid' ? 'COLLATE BINARY' : ''}`
  },
}

function ordered(field: Field): boolean {
  return ['decimal', 'date', 'time', 'timestamp', 'instant', 'json'].includes(field.type)
}
