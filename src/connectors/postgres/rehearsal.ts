/**
 * What a target makes of rows before they are written, and nothing is kept. A table that was adopted has types, NOT NULL and CHECKs of its
 * own: rows go into a temporary table that is made like it. That has no triggers, foreign keys, unique indexes or sequences, so nothing
 * but what the constraints themselves call happens, and what those others would refuse is not foreseen.
 */
import type { Field } from '../../core/schema.ts'
import { equal, type Row } from '../../core/value.ts'
import type { TargetSpec } from '../connector.ts'
import { quote } from '../sql.ts'
import { findTable, tableSql } from './catalog.ts'
import type { Client } from './client.ts'
import { rounds } from './columns.ts'
import { encodeRow, quoteText } from './copy.ts'
import { isRowError } from './errors.ts'
import { framesOf } from './frames.ts'
import { resolveTypes, storedTypes } from './table.ts'
import { fromText } from './types.ts'

/** A field that the table stores in a type of its own. */
interface Retyped {
  readonly field: Field
  /** In the rows. */
  readonly at: number
}

const STAGING = '_syncline_rehearsal'
const NUMBER = '_syncline_number'

/** Rows as the table would store them; null: it would refuse the row. */
export async function rehearse(
  client: Client,
  spec: TargetSpec,
  rows: readonly Row[],
): Promise<readonly (Row | null)[]> {
  if (rows.length === 0) return rows
  const target = await storedTypes(client, spec)
  const lines = rows.map((row, number) => lineOf(target.fields, row, number))
  const adopted = spec.adopt ? await findTable(client, spec.collection) : null
  if (adopted === null) return rows.map((row, at) => (lines[at] === null ? null : row))
  const retyped = await retypedFields(client, spec, target.fields)
  await client.begin(
    'write',
    `CREATE TEMP TABLE ${STAGING} (${NUMBER} integer, LIKE ${tableSql(spec.collection)} INCLUDING CONSTRAINTS INCLUDING GENERATED) ON COMMIT DROP`,
  )
  try {
    const required = await freeOthers(client, spec)
    const columns = [NUMBER, ...target.fields.map(({ name }) => quote(name))].join(', ')
    await stage(
      client,
      columns,
      lines.filter((line) => line !== null),
    )
    const stored: (Row | null)[] = rows.map(() => null)
    const read = [NUMBER, ...retyped.map(({ field }) => quote(field.name))].join(', ')
    const found = await client.query(
      `SELECT ${read} FROM pg_temp.${STAGING} AS staged${required ? ` WHERE ${thereSql(spec)}` : ''}`,
    )
    for (const [number, ...values] of found) {
      const row = rows[Number(number)] ?? []
      const kept = withValues(row, retyped, values)
      const rounded = retyped.some(
        ({ field, at }) => rounds(field) && !equal(field.type, row[at] ?? null, kept[at] ?? null),
      )
      if (!rounded) stored[Number(number)] = kept
    }
    return stored
  } finally {
    await client.rollback()
  }
}

/** A line of COPY with the number of its row; null: Postgres could not even be told the row. */
function lineOf(fields: readonly Field[], row: Row, number: number): string | null {
  try {
    return `${number}\t${encodeRow(fields, row)}`
  } catch (error) {
    if (!isRowError(error)) throw error
    return null
  }
}

/** Keys keep their spelling: by it they are looked up on both sides. */
async function retypedFields(client: Client, spec: TargetSpec, stored: readonly Field[]): Promise<readonly Retyped[]> {
  const given = await resolveTypes(client, spec.schema)
  return stored.flatMap((field, at) =>
    field.native === given.fields[at]?.native || field.native === 'text' || spec.schema.key.includes(field.name)
      ? []
      : [{ field, at }],
  )
}

/**
 * Columns that are no fields of the sync may be NULL here: rows that are there have them, and defaults are not asked, because a sequence
 * would give a number. Returns whether a row that is not there would be refused, for one that is required and has no default.
 */
async function freeOthers(client: Client, { collection, schema }: TargetSpec): Promise<boolean> {
  const columns = await client.query(
    `SELECT attname, attnotnull, atthasdef OR attidentity <> '' FROM pg_attribute
     WHERE attrelid = ${quoteText(tableSql(collection))}::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`,
  )
  const others = columns.filter(
    ([name, required]) => required === 't' && schema.fields.every((field) => field.name !== name),
  )
  for (const [name] of others)
    await client.query(`ALTER TABLE pg_temp.${STAGING} ALTER COLUMN ${quote(String(name))} DROP NOT NULL`)
  return others.some(([, , filled]) => filled !== 't')
}

/** That the target has a row of the staged one's key. */
function thereSql({ collection, schema }: TargetSpec): string {
  const same = schema.key.map((name) => `there.${quote(name)} = staged.${quote(name)}`).join(' AND ')
  return `EXISTS (SELECT 1 FROM ${tableSql(collection)} AS there WHERE ${same})`
}

/** By halves, down to the lines that are refused. */
async function stage(client: Client, columns: string, lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return
  const copy = client.copyIn(`SAVEPOINT staged; COPY pg_temp.${STAGING} (${columns}) FROM STDIN`)
  try {
    for (const frame of framesOf(lines)) await copy.write(frame)
    await copy.end()
    await client.query('RELEASE SAVEPOINT staged')
  } catch (error) {
    if (!isRowError(error)) throw error
    await client.query('ROLLBACK TO SAVEPOINT staged; RELEASE SAVEPOINT staged')
    if (lines.length === 1) return
    const middle = lines.length >> 1
    await stage(client, columns, lines.slice(0, middle))
    await stage(client, columns, lines.slice(middle))
  }
}

function withValues(row: Row, retyped: readonly Retyped[], values: readonly (string | null)[]): Row {
  const stored = [...row]
  for (const [number, { field, at }] of retyped.entries()) {
    const text = values[number] ?? null
    stored[at] = text === null ? null : fromText(field.type, text)
  }
  return stored
}
