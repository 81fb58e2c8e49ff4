/** What the statements about Syncline's own tables spell differently from system to system. */
import type { Sql } from './statement.ts'

export interface Dialect {
  /** The parameter of a statement's value, counted from 1. */
  parameter(at: number): string
  /** The current time, as the own tables store it. */
  now(): Sql
  /** A query that gives a row if this table of Syncline's is there. */
  hasTable(name: string): Sql
  /** Rows of texts under these column names, as something to select from. They are sent as one value. */
  textRows(columns: readonly string[], rows: readonly (readonly string[])[]): Sql
}

/** For `textRows`: half a surrogate pair, which is no text to most systems, becomes U+FFFD, as it does in any other value. */
export function textRowsJson(rows: readonly (readonly string[])[]): string {
  return JSON.stringify(rows.map((row) => row.map((text) => text.toWellFormed())))
}
