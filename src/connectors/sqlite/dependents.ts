/** Rows that SQLite deletes or changes by itself with a row of a table. Names ignore case there. */
import type { DatabaseSync } from 'node:sqlite'
import { parseName } from '../../core/name.ts'
import type { Schema } from '../../core/schema.ts'
import type { Key, Value } from '../../core/value.ts'
import { type Acting, pathsFrom, reachedBy, reachedRows } from '../cascades.ts'
import type { Dependent } from '../connector.ts'
import { quote } from '../sql.ts'
import { prepareArrays } from './database.ts'
import { asStored } from './decode.ts'
import { tableOf } from './track.ts'
import { type Bindable, fromStorage } from './types.ts'

const referring = `
  SELECT s.name AS child, f.id, f."table" AS parent, f."from" AS field, f."to" AS target, f.on_delete
  FROM sqlite_schema s, pragma_foreign_key_list(s.name) f
  WHERE s.type = 'table' ORDER BY s.name, f.id, f.seq`

const effects = new Map<string, Acting['effect']>([
  ['CASCADE', 'deleted'],
  ['SET NULL', 'changed'],
  ['SET DEFAULT', 'changed'],
])

function actingKeys(database: DatabaseSync): Acting[] {
  const found = new Map<string, Acting & { childFields: string[]; parentFields: string[] }>()
  for (const row of database.prepare(referring).all()) {
    const child = String(row.child).toLowerCase()
    const parent = String(row.parent).toLowerCase()
    const id = JSON.stringify([child, row.id])
    const acting = found.get(id) ?? {
      child,
      childFields: [],
      parent,
      parentFields: [],
      effect: effects.get(String(row.on_delete)) ?? ('refused' as const),
    }
    found.set(id, acting)
    acting.childFields.push(String(row.field))
    // Without a name it is the parent's primary key.
    acting.parentFields.push(
      row.target === null ? (keyOf(database, parent)[acting.parentFields.length] ?? '') : String(row.target),
    )
  }
  return [...found.values()]
}

function keyOf(database: DatabaseSync, table: string): string[] {
  const rows = database.prepare('SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk').all(table)
  return rows.map(({ name }) => String(name))
}

/** A collection's name as foreign keys spell it. */
function plainName(collection: string): string {
  return (parseName(collection).at(-1) ?? collection).toLowerCase()
}

function rootOf(schema: Schema, root: string) {
  return { root, table: tableOf(schema).toLowerCase(), key: schema.key }
}

/** By collection that is to stay: whether a row of the table, called by its name, reaches rows of it. */
export function keptConditions(
  database: DatabaseSync,
  schema: Schema,
  keeps: readonly string[],
): { readonly collection: string; readonly sql: string }[] {
  if (keeps.length === 0) return []
  const names = new Map(keeps.map((name) => [plainName(name), name]))
  const root = rootOf(schema, quote(tableOf(schema)))
  return pathsFrom(root.table, actingKeys(database), (name) => names.has(name)).flatMap((path) => {
    const collection = names.get(reachedBy(path).child)
    if (collection === undefined || reachedBy(path).effect === 'refused') return []
    return [{ collection, sql: `EXISTS (SELECT 1 FROM ${reachedRows(path, root, quote).from})` }]
  })
}

export function dependentsOf(
  database: DatabaseSync,
  schema: Schema,
  keys: readonly Key[],
  keeps: readonly string[],
  bind: (key: Key) => Bindable[],
): Dependent[] {
  const names = new Map(keeps.map((name) => [plainName(name), name]))
  const root = rootOf(schema, '_root')
  const table = quote(tableOf(schema))
  const where = schema.key.map((name) => `_root.${quote(name)} = ?`).join(' AND ')
  const dependents: Dependent[] = []
  for (const path of pathsFrom(root.table, actingKeys(database), (name) => names.has(name))) {
    const { child, effect, childFields: fields } = reachedBy(path)
    const { from, alias } = reachedRows(path, root, quote)
    const own = child === root.table
    const wanted = own ? schema.key.map((name) => `${alias}.${quote(name)}`).join(', ') : 'count(*)'
    const find = prepareArrays(database, `SELECT ${wanted} FROM ${table} AS _root, ${from} AND ${where}`, true)
    keys.forEach((key, at) => {
      const rows = find.all(...bind(key)).map((row) => asStored(row))
      const collection = names.get(child) ?? child
      if (!own) dependents.push({ at, collection, effect, fields, rows: Number(rows[0]?.[0] ?? 0), own: [] })
      else if (rows.length > 0)
        dependents.push({
          at,
          collection,
          effect,
          fields,
          rows: rows.length,
          own: rows.map((row) => decoded(schema, row)),
        })
    })
  }
  return dependents.filter(({ rows }) => rows > 0)
}

function decoded(schema: Schema, parts: readonly Bindable[]): Value[] {
  return schema.key.map((name, at) => {
    const field = schema.fields.find((candidate) => candidate.name === name)
    return field === undefined ? null : fromStorage(field, parts[at] ?? null)
  })
}
