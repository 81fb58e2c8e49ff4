/** Rows that SQLite deletes or changes by itself with a row of a table. Names ignore case there. */
import type { DatabaseSync } from 'node:sqlite'
import { parseName } from '../../core/name.ts'
import type { Schema } from '../../core/schema.ts'
import type { Key, Value } from '../../core/value.ts'
import { type Acting, cascadeFrom, type Dialect, reachedBy, reaches, withReached } from '../cascades.ts'
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

function dialectOf(database: DatabaseSync): Dialect {
  const identities = new Map<string, readonly string[]>()
  return {
    tableSql: quote,
    identity: (table) => {
      const known = identities.get(table) ?? identityOf(database, table)
      identities.set(table, known)
      return known
    },
    follow: (steps) =>
      steps
        .map(({ select, tables, where }) => {
          const from = ['_reached', ...tables].join(', ')
          return `SELECT _reached._ord, ${select.join(', ')} FROM ${from} WHERE ${where}`
        })
        .join(' UNION '),
  }
}

/** Its rowid, by a name that no column hides; a table without rowids has its primary key. */
function identityOf(database: DatabaseSync, table: string): readonly string[] {
  const columns = database.prepare('SELECT lower(name) AS name FROM pragma_table_info(?)').all(table)
  const without = database.prepare('SELECT wr FROM pragma_table_list WHERE schema = ? AND lower(name) = ?')
  if (without.get('main', table)?.wr === 1) return keyOf(database, table).map((name) => `${quote(name)} COLLATE BINARY`)
  const rowid = ['rowid', '_rowid_', 'oid'].find((name) => columns.every((column) => column.name !== name))
  return [rowid ?? 'rowid']
}

/** By collection that is to stay: whether a row of the table, called by its name, reaches rows of it. */
export function keptConditions(
  database: DatabaseSync,
  schema: Schema,
  keeps: readonly string[],
): { readonly collection: string; readonly sql: string }[] {
  if (keeps.length === 0) return []
  const names = new Map(keeps.map((name) => [plainName(name), name]))
  const kept = (name: string) => names.has(name)
  const cascade = cascadeFrom(tableOf(schema).toLowerCase(), actingKeys(database), kept)
  const dialect = dialectOf(database)
  const keys = cascade.keys.filter(({ child, effect }) => kept(child) && effect !== 'refused')
  return [...Map.groupBy(keys, ({ child }) => child)].map(([child, of]) => ({
    collection: names.get(child) ?? '',
    sql: reaches(cascade, dialect, quote(tableOf(schema)), of),
  }))
}

export function dependentsOf(
  database: DatabaseSync,
  schema: Schema,
  keys: readonly Key[],
  keeps: readonly string[],
  bind: (key: Key) => Bindable[],
): Dependent[] {
  const names = new Map(keeps.map((name) => [plainName(name), name]))
  const table = tableOf(schema).toLowerCase()
  const dialect = dialectOf(database)
  const cascade = cascadeFrom(table, actingKeys(database), (name) => names.has(name))
  const where = schema.key.map((name) => `_root.${quote(name)} = ?`).join(' AND ')
  const identity = (row: string, of: string) => dialect.identity(of).map((part) => `${row}.${part}`)
  const start = `SELECT 0, ${identity('_root', table).join(', ')} FROM ${quote(tableOf(schema))} AS _root WHERE ${where}`
  const reached = withReached(cascade, dialect, start)
  const dependents: Dependent[] = []
  const others = cascade.keys.filter(({ child }) => child !== table)
  // By table and effect: a row may refer to rows that go in more than one way.
  for (const of of Map.groupBy(others, ({ child, effect }) => `${effect} ${child}`).values()) {
    const [first] = of
    if (first === undefined) continue
    const { child, effect, childFields: fields } = first
    const rows = of.map((key) => `SELECT ${identity('_child', child).join(', ')} ${reachedBy(cascade, dialect, key)}`)
    const find = prepareArrays(database, `${reached} SELECT count(*) FROM (${rows.join(' UNION ')})`, true)
    keys.forEach((key, at) => {
      const count = Number(asStored(find.get(...bind(key)))[0] ?? 0)
      dependents.push({ at, collection: names.get(child) ?? child, effect, fields, rows: count, own: [] })
    })
  }
  const wanted = schema.key.map((name) => `_child.${quote(name)}`).join(', ')
  for (const acted of cascade.keys.filter(({ child }) => child === table)) {
    const { effect, childFields: fields } = acted
    const find = prepareArrays(database, `${reached} SELECT ${wanted} ${reachedBy(cascade, dialect, acted)}`, true)
    keys.forEach((key, at) => {
      const own = find.all(...bind(key)).map((row) => decoded(schema, asStored(row)))
      dependents.push({ at, collection: names.get(table) ?? table, effect, fields, rows: own.length, own })
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
