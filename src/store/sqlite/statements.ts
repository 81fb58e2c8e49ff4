/** Statements, each prepared once per database, and transactions. */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { attempt } from './errors.ts'

const known = new WeakMap<DatabaseSync, Map<string, StatementSync>>()

export function prepared(database: DatabaseSync, sql: string): StatementSync {
  let statements = known.get(database)
  if (statements === undefined) {
    statements = new Map()
    known.set(database, statements)
  }
  let statement = statements.get(sql)
  if (statement === undefined) {
    statement = attempt(database, () => database.prepare(sql))
    for (const method of ['run', 'get', 'all'] as const) inOurWords(database, statement, method)
    statements.set(sql, statement)
  }
  return statement
}

/** The method tells its errors in our words. Once per statement, not per call: a look-up takes microseconds. */
function inOurWords(database: DatabaseSync, statement: StatementSync, method: 'run' | 'get' | 'all'): void {
  const own: (...values: SQLInputValue[]) => unknown = statement[method].bind(statement)
  const value = (...values: SQLInputValue[]) => attempt(database, () => own(...values))
  Object.defineProperty(statement, method, { value })
}

/** `begin`: of temporary tables alone, nobody else has to wait. */
export function transact<T>(
  database: DatabaseSync,
  work: () => T,
  begin: 'begin immediate' | 'begin' = 'begin immediate',
): T {
  attempt(database, () => database.exec(begin))
  try {
    const result = work()
    attempt(database, () => database.exec('commit'))
    return result
  } catch (error) {
    if (database.isTransaction) database.exec('rollback')
    throw error
  }
}

export function marks(count: number): string {
  return Array(count).fill('?').join(', ')
}

/** How many values go into one statement. */
const PER_STATEMENT = 500

/** Whole chunks first, so that few different statements are prepared; the rest is padded with its last value. */
export function chunks<T extends SQLInputValue>(values: readonly T[]): T[][] {
  const parts: T[][] = []
  for (let start = 0; start < values.length; start += PER_STATEMENT) {
    const part = values.slice(start, start + PER_STATEMENT)
    const size = part.length <= 10 ? part.length : PER_STATEMENT
    while (part.length < size) part.push(part.at(-1) as T)
    parts.push(part)
  }
  return parts
}
