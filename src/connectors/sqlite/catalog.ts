/** What tables a SQLite file has: as SQLite declares them, or as Syncline remembers what it wrote into them. */
import type { DatabaseSync } from 'node:sqlite'
import { SyncError } from '../../core/error.ts'
import { formatName, nearestNames, parseName } from '../../core/name.ts'
import { type Field, type Schema, whyNotSynced } from '../../core/schema.ts'
import { parseSchema } from '../sql/registry.ts'
import { quote } from '../sql.ts'
import { isSqliteError } from './errors.ts'
import { typeOf } from './types.ts'

/** All tables and views but SQLite's and Syncline's own, by name. */
export function discoverTables(database: DatabaseSync): Schema[] {
  const names = database
    .prepare(
      `SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'view')
       AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_syncline\\_%' ESCAPE '\\' ORDER BY name`,
    )
    .all()
  return names.map((row) => describeAny(database, String(row.name))).filter((schema) => schema !== null)
}

/** A view whose table is gone, or whose functions only its application has, does not keep the others from being read. */
function describeAny(database: DatabaseSync, table: string): Schema | null {
  try {
    return describeTable(database, table)
  } catch (error) {
    if (!isSqliteError(error) || tableKind(database, table) !== 'view') throw error
    return { name: formatName([table]), system: 'sqlite', fields: [], key: [], unreadable: error.message }
  }
}

/** The schema of one table, or COLLECTION_UNKNOWN with the nearest names. */
export function requireTable(database: DatabaseSync, name: string): Schema {
  const schema = describeAny(database, parseName(name).at(-1) ?? name)
  if (schema?.unreadable !== undefined) throw whyNotSynced(schema) ?? schema
  if (schema !== null) return schema
  const names = discoverTables(database).map((known) => known.name)
  const nearest = nearestNames(name, names)
  throw new SyncError('COLLECTION_UNKNOWN', `there is no table ${name}`, {
    hint: nearest.length > 0 ? `Did you mean ${nearest.join(' or ')}?` : 'Check the name.',
  })
}

/** A table's schema; null when there is none. */
export function describeTable(database: DatabaseSync, table: string): Schema | null {
  const columns = database
    .prepare('SELECT name, type, "notnull" AS required, pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1')
    .all(table)
  if (columns.length === 0) return null
  const remembered = rememberedSchema(database, table)
  const fields = columns.map((column): Field => {
    const name = String(column.name)
    const known = remembered?.fields.find((field) => field.name === name)
    if (known !== undefined) return known
    const native = String(column.type)
    return { name, type: typeOf(native), native, nullable: column.required !== 1, writable: column.hidden === 0 }
  })
  const key = columns.filter((column) => Number(column.pk) > 0).sort((a, b) => Number(a.pk) - Number(b.pk))
  return {
    name: formatName([table]),
    system: remembered?.system ?? 'sqlite',
    fields,
    key: key.length > 0 ? key.map((column) => String(column.name)) : uniqueIndex(database, table, fields),
  }
}

/** Whether a table (not a view) of that name exists. */
export function tableKind(database: DatabaseSync, table: string): 'table' | 'view' | null {
  const row = database
    .prepare(`SELECT type FROM pragma_table_list WHERE schema = 'main' AND lower(name) = lower(?)`)
    .get(table)
  return row === undefined ? null : row.type === 'view' ? 'view' : 'table'
}

export function isVirtual(database: DatabaseSync, table: string): boolean {
  const row = database
    .prepare(`SELECT type FROM pragma_table_list WHERE schema = 'main' AND lower(name) = lower(?)`)
    .get(table)
  return row?.type === 'virtual'
}

/** Whether a table has rowids that a query can name (a column called rowid hides them). */
export function hasRowids(database: DatabaseSync, table: string): boolean {
  if (database.prepare(`SELECT 1 FROM pragma_table_info(?) WHERE lower(name) = 'rowid'`).get(table) !== undefined)
    return false
  const row = database.prepare(`SELECT type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ?`).get(table)
  return row?.type === 'table' && row.wr === 0
}

/** Whether the key is an INTEGER PRIMARY KEY, that is, the rowid under another name. */
export function isRowidKey(database: DatabaseSync, table: string, key: readonly string[]): boolean {
  if (key.length !== 1 || !hasRowids(database, table)) return false
  const column = database.prepare('SELECT type, pk FROM pragma_table_info(?) WHERE name = ?').get(table, key[0] ?? '')
  const keys = database.prepare('SELECT count(*) AS parts FROM pragma_table_info(?) WHERE pk > 0').get(table)
  return column?.pk === 1 && keys?.parts === 1 && String(column.type).toUpperCase() === 'INTEGER'
}

/** The schema that Syncline wrote this table with. */
export function rememberedSchema(database: DatabaseSync, table: string): Schema | null {
  if (tableKind(database, '_syncline_collection') === null) return null
  const row = database.prepare('SELECT schema FROM _syncline_collection WHERE name = ?').get(table)
  return row === undefined ? null : parseSchema(String(row.schema))
}

/** The smallest unique index over columns that are never NULL, as a stand-in for a primary key. */
function uniqueIndex(database: DatabaseSync, table: string, fields: readonly Field[]): string[] {
  const indexes = database
    .prepare('SELECT name FROM pragma_index_list(?) WHERE "unique" = 1 AND partial = 0 ORDER BY seq')
    .all(table)
    .map((index) => database.prepare('SELECT name FROM pragma_index_info(?) ORDER BY seqno').all(String(index.name)))
    .map((columns) => columns.map((column) => (column.name === null ? null : String(column.name))))
  const required = new Set(fields.filter((field) => !field.nullable).map((field) => field.name))
  const usable = indexes.filter((columns): columns is string[] =>
    columns.every((name) => name !== null && required.has(name)),
  )
  return usable.sort((a, b) => a.length - b.length)[0] ?? []
}

/** A table reference in SQL. */
export function tableSql(table: string): string {
  return quote(parseName(table).at(-1) ?? table)
}
