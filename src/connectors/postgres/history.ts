/**
 * Whether a server still has the history that was read. One that was restored from a snapshot of its disk is the same server by every
 * name, has gone back in time, and may since have gone further than it was: then its transaction numbers say nothing any more.
 * While it runs, its history is one. After a start it has to show the newest row that was read, where it was: another history has
 * another row there, or none. A row that was changed since shows nothing either, so that such a start costs one full compare.
 */
import { SyncError } from '../../core/error.ts'
import { fieldNamed } from '../../core/schema.ts'
import type { Row, Value } from '../../core/value.ts'
import { quote } from '../sql.ts'
import type { Client } from './client.ts'
import { quoteText } from './copy.ts'
import { isTooLarge } from './errors.ts'
import { keysSql } from './loose.ts'
import type { Now, Position, Witness } from './position.ts'
import { clause, type Relation } from './rows.ts'

/** CURSOR_UNUSABLE where the server was started since, and does not show the witness. */
export async function proveHistory(
  client: Client,
  from: Position,
  now: Now,
  fields: readonly string[],
  name: string,
): Promise<void> {
  if (from.started === undefined || from.started === now.position.started) return
  if (from.witness !== undefined && (await shows(client, from.witness, now, fields))) return
  throw new SyncError(
    'CURSOR_UNUSABLE',
    `${name} can't be read on from the last checkpoint: the server was started anew, and does not show that it still has what was read (was it restored from a disk snapshot?)`,
  )
}

async function shows(client: Client, witness: Witness, { parts }: Now, fields: readonly string[]): Promise<boolean> {
  const part = parts.find(({ oid }) => oid === witness.part)
  if (part === undefined) return false
  const [row] = await inSavepoint(
    client,
    `SELECT ${digestSql(fields)} FROM ONLY ${part.name} WHERE ctid = ${quoteText(witness.ctid)} AND xmin = ${quoteText(witness.xmin)}`,
  )
  return row?.[0] === witness.digest
}

/** Of rows that are read anyway, the newest: `xmin` is read beside each. */
export class Newest {
  /** A pseudo-field: no column can have this name. */
  static readonly field = { name: 'xmin', type: 'text', native: 'xid', nullable: false, writable: false } as const
  readonly #horizon: number
  #age = -1
  #row: Row | null = null

  constructor({ horizon }: Position) {
    this.#horizon = Number(BigInt.asUintN(32, BigInt(horizon)))
  }

  /** Takes the transaction number off the end of each row. */
  take(rows: readonly Row[], width: number): Row[] {
    return rows.map((row) => {
      // Distance above the horizon; numbers wrap around, and those of rows without a known age are below.
      const age = (Number(row[width]) - this.#horizon + NUMBERS) % NUMBERS
      if (age > this.#age && age < NUMBERS / 2) {
        this.#age = age
        this.#row = row
      }
      return row.slice(0, width)
    })
  }

  get row(): Row | null {
    return this.#row
  }
}

const NUMBERS = 2 ** 32

/** The version of a row that was read, found by its key. Undefined: its key does not tell it from others. */
export async function witnessOf(
  client: Client,
  relation: Relation,
  fields: readonly string[],
  row: Row,
): Promise<Witness | undefined> {
  const key = relation.key.map(({ name }): Value => row[fields.indexOf(name)] ?? null)
  if (key.length === 0 || key.includes(null)) return undefined
  return await witnessBy(client, clause(relation, [keysSql(relation.key, [key], relation.loose)]), fields, 2)
}

/** The newest of all rows: one pass over the table. */
export async function newestOf(
  client: Client,
  relation: Relation,
  fields: readonly string[],
): Promise<Witness | undefined> {
  return await witnessBy(client, `${clause(relation, [])} ORDER BY age(xmin)`, fields, 1)
}

async function witnessBy(
  client: Client,
  from: string,
  fields: readonly string[],
  limit: 1 | 2,
): Promise<Witness | undefined> {
  const rows = await inSavepoint(
    client,
    `SELECT tableoid, ctid, xmin, ${digestSql(fields)} FROM ${from} LIMIT ${limit}`,
  )
  const [part, ctid, xmin, digest] = rows[0] ?? []
  if (rows.length !== 1) return undefined
  return { part: String(part), ctid: String(ctid), xmin: String(xmin), digest: String(digest) }
}

/** Nothing, where a row is too large for a text of it, which Postgres can't make beyond 1 GB: the snapshot goes on without a witness. */
async function inSavepoint(client: Client, sql: string) {
  await client.query('SAVEPOINT witness')
  try {
    return await client.query(sql)
  } catch (error) {
    if (!isTooLarge(error)) throw error
    await client.query('ROLLBACK TO SAVEPOINT witness')
    return []
  }
}

function digestSql(fields: readonly string[]): string {
  return `hashtextextended(ROW(${fields.map(quote).join(', ')})::text, 0)`
}

/** The fields of a relation, and the transaction number of its rows. */
export function withTransaction(relation: Relation, fields: readonly string[]): Relation {
  return { ...relation, fields: [...fields.map((name) => fieldNamed(relation, name)), Newest.field] }
}
