/**
 * The change table: triggers record the key of every changed row under a growing number. SQLite commits one
 * transaction at a time, so reading past a number never misses a change. Deletes by INSERT OR REPLACE fire no trigger:
 * the engine's count test finds those.
 */
import type { DatabaseSync } from 'node:sqlite'
import { parseName } from '../../core/name.ts'
import type { Field, Schema } from '../../core/schema.ts'
import type { Key } from '../../core/value.ts'
import { quote, text } from '../sql.ts'
import { tableKind } from './catalog.ts'
import { keyPart } from './decode.ts'
import { type Bindable, keepsDigits } from './types.ts'

/** Why a table can't be tracked; null when it can. */
export function untrackable(schema: Schema, kind: 'table' | 'view' | null): string | null {
  if (kind !== 'table') return 'it is a view'
  if (schema.key.length === 0) return 'it has no key'
  if (keyFields(schema).some(({ systemType }) => systemType !== undefined))
    return 'the config reads its key as another type than the file declares'
  const field = keyFields(schema).find(
    ({ type }) => !['integer', 'text', 'uuid', 'date', 'time', 'timestamp', 'instant', 'boolean'].includes(type),
  )
  return field === undefined ? null : `its key field ${field.name} is of type ${field.type}`
}

/** Installs the change table and the triggers of one table, if they are not there. */
export function installTriggers(database: DatabaseSync, schema: Schema): void {
  const table = tableOf(schema)
  const name = (event: string) => quote(`_syncline_track_${event}_${table}`)
  // JSON holds no bytes, and the user's own statement must not fail for it: such a row is refused anyway.
  const part = (value: string) => `CASE WHEN typeof(${value}) <> 'blob' THEN ${value} END`
  const key = (row: 'NEW' | 'OLD') =>
    `json_array(${schema.key.map((field) => part(`${row}.${quote(field)}`)).join(', ')})`
  // DELETE then INSERT: an OR clause of the statement that fires a trigger overrides OR REPLACE inside it.
  const record = (row: 'NEW' | 'OLD', list = table) =>
    `DELETE FROM _syncline_change WHERE collection = ${text(list)} AND key = ${key(row)};
     INSERT INTO _syncline_change (collection, key) VALUES (${text(list)}, ${key(row)});`
  // A key that comes back is another row's.
  const gone = record('OLD', deletedList(table))
  database.exec('BEGIN IMMEDIATE')
  try {
    const before = schemaVersion(database)
    // A table that was renamed took its triggers along: they are dropped by name.
    database.exec(`
      CREATE TABLE IF NOT EXISTS _syncline_change (seq INTEGER PRIMARY KEY AUTOINCREMENT, collection TEXT NOT NULL, key TEXT NOT NULL) STRICT;
      CREATE UNIQUE INDEX IF NOT EXISTS _syncline_change_key ON _syncline_change (collection, key);
      CREATE TABLE IF NOT EXISTS _syncline_schema (one INTEGER PRIMARY KEY, own_changes INTEGER NOT NULL) STRICT;
      DROP TRIGGER IF EXISTS ${name('insert')};
      DROP TRIGGER IF EXISTS ${name('delete')};
      DROP TRIGGER IF EXISTS ${name('update')};
      CREATE TRIGGER ${name('insert')} AFTER INSERT ON ${quote(table)} BEGIN ${record('NEW')} END;
      CREATE TRIGGER ${name('delete')} AFTER DELETE ON ${quote(table)} BEGIN ${record('OLD')} ${gone} END;
      CREATE TRIGGER ${name('update')} AFTER UPDATE ON ${quote(table)} BEGIN ${record('OLD')} ${record('NEW')} END;`)
    database
      .prepare(
        `INSERT INTO _syncline_schema VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET own_changes = own_changes + excluded.own_changes`,
      )
      .run(schemaVersion(database) - before)
    database.exec('COMMIT')
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

/**
 * A number that every schema change of the file moves, and VACUUM too, but not our own installing of triggers. A column
 * dropped and made anew fires no trigger; a rebuilt table may have got its triggers back from another sync; VACUUM may
 * renumber rowids under a copy.
 */
export function schemaNumber(database: DatabaseSync): number {
  if (tableKind(database, '_syncline_schema') === null) return schemaVersion(database)
  const row = database.prepare('SELECT own_changes FROM _syncline_schema').get()
  return schemaVersion(database) - Number(row?.own_changes ?? 0)
}

function schemaVersion(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA schema_version').get()?.schema_version)
}

/** Under what name the change table keeps when keys were deleted. */
function deletedList(table: string): string {
  return `${table}/deleted`
}

/** Of these keys, those that were deleted after `seq`. */
export function deletedSince(
  database: DatabaseSync,
  schema: Schema,
  seq: number,
): (keys: readonly ChangedKey[]) => readonly ChangedKey[] {
  const table = tableOf(schema)
  const find = database.prepare('SELECT 1 FROM _syncline_change WHERE collection = ? AND seq > ? AND key = ?')
  const any = database
    .prepare('SELECT 1 FROM _syncline_change WHERE collection = ? AND seq > ? LIMIT 1')
    .get(deletedList(table), seq)
  if (any === undefined) return () => []
  return (keys) => keys.filter(({ recorded }) => find.get(deletedList(table), seq, recorded) !== undefined)
}

/** Whether all three triggers are there: dropping and making a table anew drops them silently. */
export function triggersStand(database: DatabaseSync, schema: Schema): boolean {
  const table = tableOf(schema)
  const row = database
    .prepare(
      `SELECT count(*) AS triggers FROM sqlite_schema WHERE type = 'trigger' AND name IN (?, ?, ?) AND tbl_name = ?`,
    )
    .get(...['insert', 'delete', 'update'].map((event) => `_syncline_track_${event}_${table}`), table)
  return Number(row?.triggers) === 3
}

/** The highest number given so far, also after the change table was emptied. */
export function lastNumber(database: DatabaseSync): number {
  const row = database.prepare(`SELECT seq FROM sqlite_sequence WHERE name = '_syncline_change'`).get()
  return Number(row?.seq ?? 0)
}

export interface ChangedKey {
  readonly key: Key
  /** As the triggers wrote it down. */
  readonly recorded: string
}

/** Keys changed after `seq`, in the order of their numbers, in chunks. */
export function* changedKeys(database: DatabaseSync, schema: Schema, seq: number): Iterable<ChangedKey[]> {
  const rows = database
    .prepare('SELECT key FROM _syncline_change WHERE collection = ? AND seq > ? ORDER BY seq')
    .iterate(tableOf(schema), seq)
  const fields = keyFields(schema)
  let keys: ChangedKey[] = []
  for (const row of rows) {
    const recorded = String(row.key)
    keys.push({ key: parseKey(fields, recorded), recorded })
    if (keys.length < 500) continue
    yield keys
    keys = []
  }
  if (keys.length > 0) yield keys
}

export function tableOf(schema: Schema): string {
  return parseName(schema.name).at(-1) ?? schema.name
}

function keyFields(schema: Schema): Field[] {
  return schema.key.flatMap((name) => schema.fields.filter((field) => field.name === name))
}

/** The key of the row that json_array() spelled: as reading the row gives it. */
function parseKey(fields: readonly Field[], json: string): Key {
  const reviver = (_name: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === 'number' && context?.source !== undefined && /^-?\d+$/.test(context.source)
      ? BigInt(context.source)
      : value
  const stored = JSON.parse(json, reviver as (name: string, value: unknown) => unknown) as Bindable[]
  return fields.map((field, at) => {
    const part = stored[at] ?? null
    return keyPart(field, typeof part === 'bigint' && keepsDigits(field) ? String(part) : part)
  })
}
