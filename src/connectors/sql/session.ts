/** One conversation with a SQL system, as far as the shared layer needs it. */
import type { Dialect } from './dialect.ts'
import { rendered, type Sql, type SqlValue } from './statement.ts'

/**
 * Statements run one after another; transactions are begun and ended by the connector, which lets nobody else use the
 * session meanwhile. Errors are SyncErrors.
 */
export interface SqlSession {
  readonly dialect: Dialect
  /** Rows in the order of their columns. */
  query(text: string, values?: readonly SqlValue[]): Promise<readonly SqlRow[]>
  /** How many rows the statement wrote. */
  execute(text: string, values?: readonly SqlValue[]): Promise<number>
}

/** Values as the system gives them: a number may come as its text. */
export type SqlRow = readonly (string | number | bigint | Uint8Array | null)[]

/** The rows that a statement gives. */
export function ask(session: SqlSession, statement: Sql): Promise<readonly SqlRow[]> {
  const { text, values } = rendered(statement, session.dialect.parameter)
  return session.query(text, values)
}

/** Runs a statement; returns how many rows it wrote. */
export function run(session: SqlSession, statement: Sql): Promise<number> {
  const { text, values } = rendered(statement, session.dialect.parameter)
  return session.execute(text, values)
}

/** A column that may be NULL, as text. */
export function textOf(value: SqlRow[number] | undefined): string | null {
  return value === null || value === undefined ? null : String(value)
}
