/**
 * What a target makes of rows before they are written, and nothing is kept. A table that was adopted has types, NOT NULL and CHECKs of its
 * own: rows go into a temporary table that is made like it. That has no triggers, foreign keys, unique indexes or identities, so nothing
 * but what the constraints themselves call happens, and what those others would refuse is not foreseen. A trigger may mend a row before
 * they are asked: where there is one, only the types are.
 */
import type { Field } from '../../core/schema.ts'
import { equal, type Row } from '../../core/value.ts'
import type { TargetSpec } from '../connector.ts'
import { quote } from '../sql.ts'
import { findTable, type Table, tableSql } from './catalog.ts'
import type { Client } from './client.ts'
import { rounds } from './columns.ts'
import { encodeRow, quoteText } from './copy.ts'
import { isRowError } from './errors.ts'
import { framesOf } from './frames.ts'
import { sameSql } from './loose.ts'
import { resolveTypes, storedTypes } from './table.ts'
import { fromText } from './types.ts'

/** A field that the table stores in a type of its own. */
interface Retyped {
  readonly field: Field
  /** In the rows. */
  readonly at: number
}

/** Made like the table: what is in it would be kept. */
const STAGING = '_syncline_rehearsal'
const GIVEN = '_syncline_given'
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
  const others = await otherColumns(client, spec)
  const mends = await mayMend(client, spec)
  const like = `LIKE ${tableSql(spec.collection)} ${mends ? '' : 'INCLUDING CONSTRAINTS '}INCLUDING DEFAULTS INCLUDING GENERATED`
  await client.begin('write', `CREATE TEMP TABLE ${STAGING} (${NUMBER} integer, ${like}) ON COMMIT DROP`)
  try {
    if (mends) await dropRequired(client)
    // Columns that the run is to add have no constraints.
    const missing = target.fields.filter(({ name }) => adopted.schema.fields.every((field) => field.name !== name))
    const added = missing.map(({ name, native }) => `ADD COLUMN ${quote(name)} ${native}`)
    if (added.length > 0) await client.query(`ALTER TABLE pg_temp.${STAGING} ${added.join(', ')}`)
    const sent = lines.filter((line) => line !== null)
    const stage = { client, names: target.fields.map(({ name }) => name), others }
    if (others.length === 0) await copyLines(stage, STAGING, sent)
    else await insertRows(stage, spec, adopted, sent)
    const stored: (Row | null)[] = rows.map(() => null)
    const read = [NUMBER, ...retyped.map(({ field }) => quote(field.name))].join(', ')
    const found = await client.query(`SELECT ${read} FROM pg_temp.${STAGING}`)
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

/** Whether a trigger of the table sees rows before its constraints do. */
async function mayMend(client: Client, { collection }: TargetSpec): Promise<boolean> {
  // Bits of tgtype: 1 for each row, 2 before.
  const [found] = await client.query(
    `SELECT 1 FROM pg_trigger WHERE tgrelid = ${quoteText(tableSql(collection))}::regclass AND tgtype & 3 = 3 AND tgenabled <> 'D' LIMIT 1`,
  )
  return found !== undefined
}

async function dropRequired(client: Client): Promise<void> {
  const required = await client.query(
    `SELECT attname FROM pg_attribute WHERE attrelid = 'pg_temp.${STAGING}'::regclass AND attnum > 0 AND attnotnull`,
  )
  const changes = required.map(([name]) => `ALTER COLUMN ${quote(String(name))} DROP NOT NULL`)
  if (changes.length > 0) await client.query(`ALTER TABLE pg_temp.${STAGING} ${changes.join(', ')}`)
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

/** A column of the table that is no field of the sync, and isn't computed from others. */
interface OtherColumn {
  readonly name: string
  /** In a new row it has what only a write can tell: a number of a sequence, or what a volatile function gives. */
  readonly unknown: boolean
}

async function otherColumns(client: Client, { collection, schema }: TargetSpec): Promise<readonly OtherColumn[]> {
  // The functions of an expression are named in its tree, which has no column for them.
  const columns = await client.query(
    `SELECT a.attname, a.attidentity <> '' OR EXISTS (
       SELECT FROM regexp_matches(coalesce(d.adbin::text, t.typdefaultbin::text), ':(?:funcid|opfuncid) (\\d+)', 'g') AS f (called)
       JOIN pg_proc AS p ON p.oid = called[1]::oid WHERE p.provolatile = 'v')
     FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
     LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = ${quoteText(tableSql(collection))}::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''`,
  )
  return columns
    .map(([name, unknown]) => ({ name: String(name), unknown: unknown === 't' }))
    .filter(({ name }) => schema.fields.every((field) => field.name !== name))
}

interface Stage {
  readonly client: Client
  /** Columns of the rows. */
  readonly names: readonly string[]
  readonly others: readonly OtherColumn[]
}

/**
 * Rows whose table has other columns. A row that is there has values in them, which its constraints are asked with. In a new row they
 * have their defaults; constraints over what isn't known are not asked.
 */
async function insertRows(
  stage: Stage,
  { collection, schema }: TargetSpec,
  { loose }: Table,
  lines: readonly string[],
): Promise<void> {
  const { client, others } = stage
  const names = stage.names.map(quote)
  const table = tableSql(collection)
  await client.query(
    `CREATE TEMP TABLE ${GIVEN} ON COMMIT DROP AS SELECT NULL::integer AS ${NUMBER}, ${names.join(', ')} FROM pg_temp.${STAGING} WITH NO DATA`,
  )
  await copyLines(stage, GIVEN, lines)
  const numbers = (await client.query(`SELECT ${NUMBER} FROM pg_temp.${GIVEN} ORDER BY ${NUMBER}`)).map(([number]) =>
    Number(number),
  )
  // Without a key in the rows they are all new.
  const same =
    schema.key.length === 0
      ? 'false'
      : schema.key
          .map((name) => sameSql(`there.${quote(name)}`, `given.${quote(name)}`, loose.includes(name)))
          .join(' AND ')
  const insert = (columns: readonly string[], values: readonly string[], from: string) =>
    byHalves(client, numbers, async (some) => {
      const between = `given.${NUMBER} BETWEEN ${some[0]} AND ${some.at(-1)}`
      await client.query(
        `INSERT INTO pg_temp.${STAGING} (${[NUMBER, ...columns].join(', ')})
         SELECT ${[`given.${NUMBER}`, ...values].join(', ')} FROM pg_temp.${GIVEN} AS given ${from} AND ${between}`,
      )
    })
  const given = names.map((name) => `given.${name}`)
  const kept = others.map(({ name }) => quote(name))
  const there = kept.map((name) => `there.${name}`)
  await insert([...names, ...kept], [...given, ...there], `JOIN ${table} AS there ON ${same} WHERE true`)
  const dropped = others.filter(({ unknown }) => unknown).map(({ name }) => `DROP COLUMN ${quote(name)} CASCADE`)
  if (dropped.length > 0) await client.query(`ALTER TABLE pg_temp.${STAGING} ${dropped.join(', ')}`)
  await insert(names, given, `WHERE NOT EXISTS (SELECT FROM ${table} AS there WHERE ${same})`)
}

async function copyLines({ client, names }: Stage, table: string, lines: readonly string[]): Promise<void> {
  const columns = [NUMBER, ...names.map(quote)].join(', ')
  await byHalves(client, lines, async (some) => {
    const copy = client.copyIn(`COPY pg_temp.${table} (${columns}) FROM STDIN`)
    for (const frame of framesOf(some)) await copy.write(frame)
    await copy.end()
  })
}

/** Down to those that are refused. */
async function byHalves<T>(
  client: Client,
  items: readonly T[],
  put: (items: readonly T[]) => Promise<void>,
): Promise<void> {
  if (items.length === 0) return
  await client.query('SAVEPOINT staged')
  try {
    await put(items)
    await client.query('RELEASE SAVEPOINT staged')
  } catch (error) {
    if (!isRowError(error)) throw error
    await client.query('ROLLBACK TO SAVEPOINT staged; RELEASE SAVEPOINT staged')
    if (items.length === 1) return
    const middle = items.length >> 1
    await byHalves(client, items.slice(0, middle), put)
    await byHalves(client, items.slice(middle), put)
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
