/** Making and altering target tables in SQLite. */
import type { DatabaseSync } from 'node:sqlite'
import { SyncError } from '../../core/error.ts'
import { formatName, parseName } from '../../core/name.ts'
import { type Field, fieldNamed, type Schema, type SchemaChange } from '../../core/schema.ts'
import type { TargetSpec } from '../connector.ts'
import type { TargetTable } from '../sql/registry.ts'
import { quote } from '../sql.ts'
import type { Relation } from './decode.ts'
import { isUniqueError } from './errors.ts'
import { runOne } from './own-rules.ts'
import { mayRespell, twinKeys, valueSql } from './spelling.ts'
import { storageOf, typeOf } from './types.ts'

/** The column that `deletes: 'mark'` keeps. */
export const deletedField = '_deleted_at'

export function ownedTable(spec: Pick<TargetSpec, 'collection'>): string {
  return parseName(spec.collection).at(-1) ?? spec.collection
}

export function targetTable(spec: Pick<TargetSpec, 'collection'>): TargetTable {
  const name = ownedTable(spec)
  return { name, sql: quote(name), lists: [rowsTable(name), keptTable(name)].map(quote) }
}

/** Beside an adopted table: the keys this sync put there, and whether it wrote the row or found it equal. */
export function rowsTable(table: string): string {
  return `_syncline_rows_${table}`
}

/** Beside a table of ours whose sync says `deletes: 'keep'`: the keys of rows that the source deleted and that stay. */
export function keptTable(table: string): string {
  return `_syncline_kept_${table}`
}

/** Whether there are such rows: most tables have none, and are read without asking for each row. */
export function keepsAny(database: DatabaseSync, table: string): boolean {
  const list = keptTable(table)
  if (database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(list) === undefined)
    return false
  return database.prepare(`SELECT 1 FROM ${quote(list)} LIMIT 1`).get() !== undefined
}

/** Applies what diffSchema found. */
export function applyChanges(database: DatabaseSync, spec: TargetSpec, changes: readonly SchemaChange[]): void {
  const table = ownedTable(spec)
  refuseTwins(spec.schema)
  const keepsMark = spec.deletes === 'mark'
  for (const change of changes) {
    if (change.kind === 'create') database.exec(createSql(spec))
    if (change.kind === 'add')
      database.exec(
        `ALTER TABLE ${quote(table)} ADD COLUMN ${quote(change.field.name)} ${storageOf(change.field.type)}`,
      )
  }
  if (changes.some((change) => change.kind === 'widen' && storageOf(change.was.type) !== storageOf(change.field.type)))
    rebuild(database, spec)
  if (keepsMark) addMissingColumn(database, table, deletedField, 'TEXT')
  if (spec.adopt) prepareAdoption(database, spec)
  else if (spec.deletes === 'keep') prepareKeeping(database, spec)
}

/** The found table as the spec's schema would see it: a column whose storage can hold the wanted type counts as that type. */
export function adoptable(found: Schema, wanted: Schema): Schema {
  const fields = found.fields.map((field): Field => {
    const want = wanted.fields.find(({ name }) => name === field.name)
    if (want === undefined) return field
    const held = storageOf(typeOf(field.native))
    const holds =
      held === storageOf(want.type) || field.native === '' || (field.type === 'decimal' && want.type !== 'bytes')
    return holds ? { ...want, writable: field.writable } : field
  })
  return { ...found, system: wanted.system, fields, key: wanted.key }
}

/** The key of a table that is adopted, with its columns as they are declared there. */
export function adoptedKey(database: DatabaseSync, spec: TargetSpec): Pick<Relation, 'system' | 'key' | 'from'> {
  const table = ownedTable(spec)
  const { key } = spec.schema
  const fields = asDeclaredThere(database, table, spec.schema.fields)
  return { system: 'sqlite', from: quote(table), key: key.map((name) => fieldNamed({ ...spec.schema, fields }, name)) }
}

/** That a row of the list `mine` is of the same key as the row of an adopted table. The list has each key in one spelling. */
export function listedSql(database: DatabaseSync, spec: TargetSpec): string {
  const { system, key } = adoptedKey(database, spec)
  return key.map((field) => `mine.${quote(field.name)} = ${valueSql(system, field, ownedTable(spec))}`).join(' AND ')
}

/** Fields as the columns of a table are declared, which decides how it keeps their values. */
export function asDeclaredThere(database: DatabaseSync, table: string, fields: readonly Field[]): readonly Field[] {
  const columns = database.prepare('SELECT name, type FROM pragma_table_xinfo(?)').all(table)
  const natives = new Map(columns.map(({ name, type }) => [String(name), String(type)]))
  return fields.map((field) => ({ ...field, native: natives.get(field.name) ?? field.native }))
}

function createSql(spec: TargetSpec): string {
  const { schema } = spec
  const only = schema.key.length === 1 ? schema.key[0] : undefined
  const columns = schema.fields.map((field) => {
    const storage = storageOf(field.type)
    if (field.name === only) return `${quote(field.name)} ${storage} NOT NULL PRIMARY KEY`
    return `${quote(field.name)} ${storage}${schema.key.includes(field.name) ? ' NOT NULL' : ''}`
  })
  if (spec.deletes === 'mark') columns.push(`${quote(deletedField)} TEXT`)
  if (only === undefined) columns.push(`PRIMARY KEY (${schema.key.map(quote).join(', ')})`)
  return `CREATE TABLE ${quote(ownedTable(spec))} (\n  ${columns.join(',\n  ')}\n) STRICT`
}

/**
 * SQLite can't change a column's type: a new table takes the rows over, converted, and then the name. People's indexes and
 * triggers are made again; their views go by the name and are left as they are.
 */
function rebuild(database: DatabaseSync, spec: TargetSpec): void {
  const table = ownedTable(spec)
  if (spec.adopt) {
    throw new SyncError('SCHEMA_DRIFT', `a column of the adopted table ${table} would have to change its type`, {
      hint: 'Change the table by hand; Syncline does not make a table anew that is not its own.',
    })
  }
  const next = `_syncline_new_${table}`
  const columns = database.prepare('SELECT name, type FROM pragma_table_info(?)').all(table)
  const dependents = database
    .prepare(
      `SELECT name, sql FROM sqlite_schema WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL`,
    )
    .all(table)
  database.exec(createSql({ ...spec, collection: formatName([next]) }))
  for (const column of columns) addMissingColumn(database, next, String(column.name), String(column.type))
  const names = columns.map((column) => quote(String(column.name)))
  const values = columns.map((column) => {
    const want = spec.schema.fields.find((field) => field.name === column.name)
    return want === undefined
      ? quote(String(column.name))
      : `CAST(${quote(String(column.name))} AS ${storageOf(want.type)})`
  })
  database.exec(`INSERT INTO ${quote(next)} (${names.join(', ')}) SELECT ${values.join(', ')} FROM ${quote(table)}`)
  database.exec(`DROP TABLE ${quote(table)}`)
  // Without this, renaming fails on views that name the table just dropped.
  database.exec('PRAGMA legacy_alter_table = ON')
  try {
    database.exec(`ALTER TABLE ${quote(next)} RENAME TO ${quote(table)}`)
  } finally {
    database.exec('PRAGMA legacy_alter_table = OFF')
  }
  for (const { name, sql } of dependents) runOne(database, String(sql), String(name))
}

function addMissingColumn(database: DatabaseSync, table: string, column: string, storage: string): void {
  const there = database.prepare('SELECT 1 FROM pragma_table_info(?) WHERE name = ?').get(table, column)
  if (there === undefined)
    runOne(database, `ALTER TABLE ${quote(table)} ADD COLUMN ${quote(column)} ${storage}`, `column ${column}`)
}

function prepareKeeping(database: DatabaseSync, spec: TargetSpec): void {
  const key = spec.schema.key.map(quote).join(', ')
  database.exec(
    `CREATE TABLE IF NOT EXISTS ${quote(keptTable(ownedTable(spec)))} (${keyColumns(spec)}, PRIMARY KEY (${key})) STRICT`,
  )
}

function keyColumns({ schema }: TargetSpec): string {
  const columns = schema.key.map((name) => {
    const field = schema.fields.find((candidate) => candidate.name === name)
    return `${quote(name)} ${storageOf(field?.type ?? 'text')} NOT NULL`
  })
  return columns.join(', ')
}

/** The list of our keys beside an adopted table, and a unique index that tells its rows apart. */
function prepareAdoption(database: DatabaseSync, spec: TargetSpec): void {
  const table = ownedTable(spec)
  const key = spec.schema.key.map(quote).join(', ')
  database.exec(
    `CREATE TABLE IF NOT EXISTS ${quote(rowsTable(table))} (${keyColumns(spec)}, _written INTEGER NOT NULL, PRIMARY KEY (${key})) STRICT`,
  )
  const index = `_syncline_key_${table}`
  if (database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?").get(index) !== undefined) return
  try {
    const theirs = adoptedKey(database, spec)
    if (mayRespell(theirs) && twinKeys(database, { ...theirs, where: null }).size > 0) throw duplicateKeys(spec)
    database.exec(`CREATE UNIQUE INDEX ${quote(index)} ON ${quote(table)} (${key})`)
  } catch (error) {
    throw isUniqueError(error) ? duplicateKeys(spec, error) : error
  }
}

function duplicateKeys(spec: TargetSpec, cause?: unknown): SyncError {
  return new SyncError(
    'KEY_DUPLICATE',
    `several rows of ${ownedTable(spec)} have the same (${spec.schema.key.join(', ')}), so it can't be adopted`,
    { hint: 'Remove the duplicates, or choose another `key`.', cause },
  )
}

/** SQLite's column names ignore case; Postgres' do not. */
function refuseTwins(schema: Schema): void {
  const seen = new Map<string, string>()
  for (const { name } of schema.fields) {
    const twin = seen.get(name.toLowerCase())
    if (twin !== undefined) {
      throw new SyncError(
        'CONFIG_INVALID',
        `fields ${twin} and ${name} of ${schema.name} are one name to SQLite, which ignores case`,
        {
          hint: 'Rename one of them with `fields`.',
        },
      )
    }
    seen.set(name.toLowerCase(), name)
  }
}
