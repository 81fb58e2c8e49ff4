/** What the schema of somebody's file says, and what of it may not act by itself. */
import { DatabaseSync } from 'node:sqlite'
import { SyncError } from '../../core/error.ts'

/**
 * Runs SQL that comes out of a file's schema, or is made with text of it. `exec` would run whatever follows the statement as well, and
 * anybody can write a file whose schema goes on with ATTACH.
 */
export function runOne(database: DatabaseSync, sql: string, of: string): void {
  const statement = database.prepare(sql)
  if (sql.slice(statement.sourceSQL.length).trim() !== '')
    throw new SyncError('FILE_UNUSABLE', `the schema of the SQLite file holds more than one statement for ${of}`, {
      hint: 'SQLite itself writes no such schema: the file is damaged, or was made to run SQL where it is opened.',
    })
  statement.run()
}

/** A database in memory for tables that are made by the SQL of a file: nothing of it reaches another file, or loads code. */
export function openScratch(): DatabaseSync {
  return new DatabaseSync(':memory:', {
    enableForeignKeyConstraints: false,
    allowExtension: false,
    // Older versions of Node know neither; there, that only one statement runs is all that keeps it in.
    defensive: true,
    limits: { attach: 0 },
  })
}

/**
 * What INSERT and UPDATE say, so that a row which a constraint refuses is refused: a constraint may be declared ON CONFLICT REPLACE, and
 * would delete other rows, or IGNORE or ROLLBACK. It would also be said for the statements in triggers, whose own OR IGNORE would be
 * void: so a table with triggers gets it only where it needs it. DO UPDATE of an upsert is always OR ABORT.
 */
export function orAbort(database: DatabaseSync, table: string): '' | ' OR ABORT' {
  return declaresConflict(database, table) || !hasTrigger(database, table) ? ' OR ABORT' : ''
}

function declaresConflict(database: DatabaseSync, table: string): boolean {
  const made = database
    .prepare("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE")
    .get(table)
  return onConflict.test(String(made?.sql))
}

/** Comments may stand between the words. */
const onConflict = /\bON(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/)+CONFLICT\b/i

export function hasTrigger(database: DatabaseSync, table: string): boolean {
  const found = `SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE
    UNION ALL SELECT 1 FROM sqlite_temp_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE`
  return database.prepare(found).get(table, table) !== undefined
}
