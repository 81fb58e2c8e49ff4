/**
 * What a target makes of rows before they are written, and nothing is kept. A table that was adopted has constraints of its own: rows go
 * one by one into a table in memory that is made by the same statement. That has no triggers, foreign keys or other rows, so what those
 * would refuse is not foreseen; neither is a CHECK by a function that only its application has.
 */
import type { DatabaseSync } from 'node:sqlite'
import { type Field, fieldNamed } from '../../core/schema.ts'
import { canonical, type Row } from '../../core/value.ts'
import type { TargetSpec } from '../connector.ts'
import { quote } from '../sql.ts'
import { keepsNul, prepareArrays } from './database.ts'
import { asStored } from './decode.ts'
import { isRowError, isSqliteError } from './errors.ts'
import { openScratch, runOne } from './own-rules.ts'
import { keysSql, mayRespell, storedKeys } from './spelling.ts'
import { adoptedKey, ownedTable } from './table.ts'
import { type Bindable, toStorage } from './types.ts'

/** Rows as they are; null: the table would refuse the row. */
export function rehearse(database: DatabaseSync, spec: TargetSpec, rows: readonly Row[]): readonly (Row | null)[] {
  const { fields } = spec.schema
  const nul = keepsNul(database)
  const bound = rows.map((row) =>
    unlessRefused(() => fields.map((field, at) => toStorage(field, row[at] ?? null, nul))),
  )
  const trial = spec.adopt && rows.length > 0 ? openTrial(database, spec) : null
  try {
    return rows.map((row, at) => {
      const values = bound[at] ?? null
      return values === null || trial?.refuses(row, values) === true ? null : row
    })
  } finally {
    trial?.close()
  }
}

interface Trial {
  refuses(row: Row, values: readonly Bindable[]): boolean
  close(): void
}

/** Null: the table can't be made anew. */
function openTrial(database: DatabaseSync, spec: TargetSpec): Trial | null {
  const table = ownedTable(spec)
  const made = database
    .prepare("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE")
    .get(table)
  if (typeof made?.sql !== 'string' || !/^CREATE TABLE/i.test(made.sql)) return null
  const memory = openScratch()
  const names = spec.schema.fields.map(({ name }) => name)
  const others = otherColumns(database, table, names)
  const insertSql = (columns: readonly string[]) =>
    `INSERT OR ABORT INTO ${quote(table)} (${columns.map(quote).join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`
  try {
    runOne(memory, made.sql, `table ${table}`)
    const insert = memory.prepare(insertSql(names))
    const update = memory.prepare(insertSql([...names, ...others]))
    const othersOf = readerOf(database, spec, others)
    return {
      refuses: (row, values) => {
        // A row that is there has values in the columns that are no fields of the sync.
        const there = othersOf(row)
        const stored = unlessRefused(() => (there === null ? insert.run(...values) : update.run(...values, ...there)))
        memory.exec(`DELETE FROM ${quote(table)}`)
        return stored === null
      },
      close: () => memory.close(),
    }
  } catch (error) {
    memory.close()
    if (!isSqliteError(error)) throw error
    return null
  }
}

function otherColumns(database: DatabaseSync, table: string, names: readonly string[]): readonly string[] {
  const columns = database.prepare('SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0').all(table)
  const folded = new Set(names.map((name) => name.toLowerCase()))
  return columns.map(({ name }) => String(name)).filter((name) => !folded.has(name.toLowerCase()))
}

/** Values of the other columns in the row of the same key; null: there is none. */
function readerOf(
  database: DatabaseSync,
  spec: TargetSpec,
  others: readonly string[],
): (row: Row) => Bindable[] | null {
  const { schema } = spec
  // Without a key in the rows they are all new.
  if (schema.key.length === 0) return () => null
  const key = schema.key.map((name): readonly [Field, number] => [
    fieldNamed(schema, name),
    schema.fields.findIndex((field) => field.name === name),
  ])
  const theirs = adoptedKey(database, spec)
  const stored = mayRespell(theirs) ? storedKeys(database, theirs) : () => []
  const isKey = keysSql(schema.key.map(quote), 1, true)
  const columns = others.length === 0 ? '1' : others.map(quote).join(', ')
  const statement = prepareArrays(database, `SELECT ${columns} FROM ${quote(ownedTable(spec))} WHERE ${isKey}`, true)
  return (row) => {
    const own = key.map(([field, at]) => canonical(field.type, row[at] ?? null))
    const found = statement.get(
      ...(stored(own)[0] ?? own.map((part, i) => toStorage(key[i]?.[0] as Field, part, true))),
    )
    return found === undefined ? null : others.length === 0 ? [] : asStored(found)
  }
}

function unlessRefused<T>(work: () => T): T | null {
  try {
    return work()
  } catch (error) {
    if (!isRowError(error)) throw error
    return null
  }
}
