/**
 * Loose columns: those that take differently spelled texts for one, because their collation is not deterministic or their type
 * is citext. Syncline compares their bytes, too: beside the column's own comparison, which the index serves, never in its place.
 * All other columns compare bytes already, and nothing is added for them.
 */
import type { Field } from '../../core/schema.ts'
import type { Key, Value } from '../../core/value.ts'
import { quote } from '../sql.ts'
import { literal } from './copy.ts'

/** The bytes of a loose column's value. */
export function bytesSql(value: string): string {
  return `(${value})::text COLLATE "C"`
}

/** That two values of a column are equal. */
export function sameSql(left: string, right: string, loose: boolean): string {
  const same = `${left} = ${right}`
  return loose ? `${same} AND ${bytesSql(left)} = ${bytesSql(right)}` : same
}

/** Key columns for GROUP BY: rows that differ in their bytes are in different groups. */
export function groupingSql(key: readonly string[], loose: readonly string[]): string {
  return key.map((name) => (loose.includes(name) ? bytesSql(quote(name)) : quote(name))).join(', ')
}

/** `key IN (…)` with literals: COPY takes no parameters. */
export function keysSql(key: readonly Field[], keys: readonly Key[], loose: readonly string[]): string {
  const asColumns = listSql(key, keys, [])
  return key.some(({ name }) => loose.includes(name)) ? `${asColumns} AND ${listSql(key, keys, loose)}` : asColumns
}

function listSql(key: readonly Field[], keys: readonly Key[], asBytes: readonly string[]): string {
  const columns = key.map(({ name }) => (asBytes.includes(name) ? bytesSql(quote(name)) : quote(name)))
  const natives = key.map(({ name, native }) => (asBytes.includes(name) ? 'text' : native))
  const tuple = (values: Key) =>
    key.map((field, at) => literal(field, values[at] as Value, natives[at] as string)).join(', ')
  if (columns.length === 1) return `${columns[0]} IN (${keys.map(tuple).join(', ')})`
  return `(${columns.join(', ')}) IN (VALUES ${keys.map((values) => `(${tuple(values)})`).join(', ')})`
}
