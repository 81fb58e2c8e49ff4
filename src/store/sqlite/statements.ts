/** Statements, each prepared once per database. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'

const known = new WeakMap<DatabaseSync, Map<string, StatementSync>>()

export function prepared(database: DatabaseSync, sql: string): StatementSync {
  let statements = known.get(database)
  if (statements === undefined) {
    statements = new Map()
    known.set(database, statements)
  }
  let statement = statements.get(sql)
  if (statement === undefined) {
    statement = database.prepare(sql)
    statements.set(sql, statement)
  }
  return statement
}
