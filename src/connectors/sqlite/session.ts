/** A SQLite handle as the shared SQL layer uses it. It answers at once: only microtasks come between two statements. */
import type { DatabaseSync } from 'node:sqlite'
import type { Context } from '../connector.ts'
import { type Dialect, textRowsJson } from '../sql/dialect.ts'
import type { SqlRow, SqlSession } from '../sql/session.ts'
import { raw, sql } from '../sql/statement.ts'
import { prepareArrays } from './database.ts'
import { attempt, translate } from './errors.ts'

/** `file` is for error messages. */
export function sessionOf(database: DatabaseSync, file: string, { clock }: Context): SqlSession {
  return {
    dialect: dialectOf(clock),
    query: async (text, values = []) =>
      attempt(file, () => prepareArrays(database, text).all(...values) as unknown as SqlRow[]),
    execute: async (text, values = []) => attempt(file, () => Number(database.prepare(text).run(...values).changes)),
  }
}

/** Runs `work` in a transaction beside which no other connection writes. What fails leaves no trace. */
export async function inTransaction<T>(database: DatabaseSync, file: string, work: () => Promise<T>): Promise<T> {
  attempt(file, () => database.exec('BEGIN IMMEDIATE'))
  try {
    const result = await work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw translate(error, file)
  }
}

/** Times are milliseconds of our own clock. */
function dialectOf(clock: Context['clock']): Dialect {
  return {
    parameter: () => '?',
    now: () => sql`${clock.now()}`,
    hasTable: (name) => sql`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ${name}`,
    textRows: (columns, rows) => {
      const texts = columns.map((column, at) => `value ->> ${at} AS ${column}`)
      return sql`(SELECT ${raw(texts.join(', '))} FROM json_each(${textRowsJson(rows)}))`
    },
  }
}
