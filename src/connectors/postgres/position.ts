/**
 * How far a Postgres table has been read. The horizon is the oldest transaction that was still running when the read
 * began: everything that was not visible then has an xmin at or above it. `id > max` and `updated_at >= max` lose rows
 * when transactions overlap; so does comparing snapshots, for rows written inside a savepoint.
 */
import { z } from 'zod'
import { SyncError } from '../../core/error.ts'
import type { Field } from '../../core/schema.ts'
import type { Cursor } from '../connector.ts'
import { quote } from '../sql.ts'
import type { Table } from './catalog.ts'
import type { Client } from './client.ts'
import { literal } from './copy.ts'

const witnessShape = z.strictObject({
  /** Physical table, place and transaction of the row version, and a digest of its values. */
  part: z.string(),
  ctid: z.string(),
  xmin: z.string(),
  digest: z.string(),
})
/** A row version that shows that a server still has the history that was read (history.ts). */
export type Witness = z.infer<typeof witnessShape>

const shape = z.strictObject({
  v: z.literal(1),
  /** System identifier, timeline, database OID, table OID. */
  source: z.string(),
  /** The physical tables, each with its file: a rewrite or truncation changes the file. */
  parts: z.array(z.tuple([z.string(), z.string()])),
  /** Digest of the columns' numbers and names: a column dropped and made anew changes every row and touches none. */
  columns: z.string(),
  horizon: z.string(),
  /** When the server was started: while it runs, its history is one. Absent in cursors of earlier versions. */
  started: z.string().optional(),
  /** The newest row that was read. Absent: none is known. */
  witness: witnessShape.optional(),
  /** Where an unfinished copy goes on. */
  copy: z.strictObject({ part: z.number(), block: z.number() }).optional(),
  field: z
    .strictObject({
      /** Every row below this value was visible; null: nothing yet. */
      low: z.string().nullable(),
      /** Values that become `low` once every transaction before `xmax`, and every one of `running`, has ended. */
      pending: z.array(z.strictObject({ value: z.string(), xmax: z.string(), running: z.array(z.string()) })),
    })
    .optional(),
})
export type Position = z.infer<typeof shape>

/** A physical table and its number of blocks. */
export interface Part {
  readonly oid: string
  readonly file: string
  readonly blocks: number
  readonly name: string
}

export interface Now {
  readonly position: Position
  readonly parts: readonly Part[]
  readonly xmin: bigint
  readonly xmax: bigint
  /** Transactions that ran before the snapshot was taken; none of the others that ran before is still unseen. */
  readonly running: readonly string[]
}

/** Pending values that are kept, at most. */
const MAX_PENDING = 16

/** The present position, inside a transaction whose snapshot is taken by this query. */
export async function positionNow(
  client: Client,
  table: Table,
  heap: boolean,
  running: readonly string[],
): Promise<Now> {
  const [row] = await client.query(
    `SELECT pg_snapshot_xmin(pg_current_snapshot()), pg_snapshot_xmax(pg_current_snapshot()),
       (SELECT oid FROM pg_database WHERE datname = current_database()), extract(epoch FROM pg_postmaster_start_time()),
       (${columnsQuery(table)})`,
  )
  const [xmin, xmax, database, started, columns] = row ?? []
  const parts = heap ? await partsOf(client, table) : []
  const source = [await serverIdentity(client), database, table.oid].join('/')
  const position: Position = {
    v: 1,
    source,
    parts: parts.map(({ oid, file }) => [oid, file]),
    columns: String(columns),
    horizon: String(xmin),
    started: String(started),
  }
  return { position, parts, xmin: BigInt(xmin ?? 0), xmax: BigInt(xmax ?? 0), running }
}

/** Checks that reading on from `cursor` misses nothing; CURSOR_UNUSABLE says why it would. */
export function parsePosition(cursor: Cursor, now: Now, table: Table): Position {
  const parsed = shape.safeParse(JSON.parse(cursor))
  const unusable = (reason: string) =>
    new SyncError('CURSOR_UNUSABLE', `${table.schema.name} can't be read on from the last checkpoint: ${reason}`)
  if (!parsed.success) throw unusable('the cursor is of another version')
  const from = parsed.data
  if (from.source !== now.position.source)
    throw unusable('it is another server, database or table, or one restored from a backup')
  if (BigInt(from.horizon) > now.xmax) throw unusable('the server has gone back in time (restored from a backup?)')
  // Row headers hold 32 bits of the transaction number: half of that range is comparable.
  if (now.xmax - BigInt(from.horizon) > 2_000_000_000n) throw unusable('too many transactions have passed')
  if (JSON.stringify(from.parts) !== JSON.stringify(now.position.parts))
    throw unusable('the table was rewritten or truncated, or its partitions changed')
  if (from.columns !== now.position.columns) throw unusable('its columns changed without a trace in the rows')
  return from
}

/** Rows that may have changed since the horizon. `age` compares 32-bit numbers across wraparound; frozen rows may be read again, never missed. */
export function changedSql(position: Position): string {
  const xid = BigInt.asUintN(32, BigInt(position.horizon))
  return `age(xmin) <= age('${xid}'::xid)`
}

/** Rows at or above the held-back lower bound of a cursor field, and those without a value. */
export function sinceSql(position: Position, field: Field): string {
  const low = position.field?.low ?? null
  return low === null
    ? 'true'
    : `(${quote(field.name)} >= ${literal(field, low, field.native)} OR ${quote(field.name)} IS NULL OR NOT ${finiteSql(field)})`
}

/** Whether a cursor field's value is finite. Above infinity or NaN nothing would be read again, so such rows are read on every run. */
export function finiteSql(field: Field): string {
  const column = quote(field.name)
  if (['date', 'timestamp', 'instant'].includes(field.type)) return `isfinite(${column})`
  return field.type === 'decimal' ? `(${column}::text NOT IN ('NaN', 'Infinity', '-Infinity'))` : 'true'
}

/**
 * Transactions that run in this database, by their virtual number: also those that have written nothing, and so have no
 * other, but may have taken the value that they are going to write. Every role sees them.
 */
export async function runningNow(client: Client): Promise<string[]> {
  const rows = await client.query(
    `SELECT l.virtualxid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.pid <> pg_backend_pid() AND a.datname = current_database()`,
  )
  return rows.map(([number]) => String(number))
}

/**
 * The next lower bound of a cursor field. A value seen now counts only once every transaction that ran at the time has
 * ended and was seen: it may still commit rows below.
 */
export async function holdBack(client: Client, from: Position | null, now: Now, max: string | null): Promise<Position> {
  const pending = [...(from?.field?.pending ?? [])]
  let low = from?.field?.low ?? null
  const ended = ({ xmax, running }: (typeof pending)[number]) =>
    BigInt(xmax) <= now.xmin && !running.some((number) => now.running.includes(number))
  while (pending[0] !== undefined && ended(pending[0])) low = pending.shift()?.value ?? low
  if (max !== null && pending.at(-1)?.value !== max && low !== max)
    pending.push({ value: max, xmax: String(now.xmax), running: await runningNow(client) })
  if (pending.length > MAX_PENDING) pending.splice(MAX_PENDING / 2, 1)
  return { ...now.position, field: { low, pending } }
}

/**
 * A virtual column's expression counts too, and where a column has a type that users made, so do all such types: a label
 * renamed or an attribute added changes what rows say.
 */
function columnsQuery(table: Table): string {
  return `SELECT hashtextextended(concat_ws(' ', string_agg(concat_ws(' ', a.attnum, a.attname, CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END), ', ' ORDER BY a.attnum),
      CASE WHEN bool_or(t.typnamespace <> 'pg_catalog'::regnamespace) THEN concat_ws(' ', (${labelsQuery}), (${attributesQuery})) END), 0)
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = ${table.oid} AND a.attnum > 0 AND NOT a.attisdropped`
}

const labelsQuery = `SELECT string_agg(concat_ws(' ', oid, enumlabel), ', ' ORDER BY oid) FROM pg_enum`
const attributesQuery = `SELECT string_agg(concat_ws(' ', a.attrelid, a.attnum, a.attname), ', ' ORDER BY a.attrelid, a.attnum)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind = 'c' AND a.attnum > 0 AND NOT a.attisdropped`

async function partsOf(client: Client, table: Table): Promise<Part[]> {
  const rows = await client.query(
    `WITH RECURSIVE tree (oid) AS (SELECT ${table.oid}::oid UNION SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid)
     SELECT c.oid, pg_relation_filenode(c.oid), pg_relation_size(c.oid) / current_setting('block_size')::int, c.oid::regclass
     FROM tree JOIN pg_class c ON c.oid = tree.oid WHERE c.relkind = 'r' ORDER BY c.oid`,
  )
  return rows.map(([oid, file, blocks, name]) => ({
    oid: String(oid),
    file: String(file),
    blocks: Number(blocks),
    name: String(name),
  }))
}

/** System identifier and timeline, where the role may see them (by default every role may). */
async function serverIdentity(client: Client): Promise<string> {
  const [allowed] = await client.query(
    `SELECT has_function_privilege('pg_control_system()', 'execute') AND has_function_privilege('pg_control_checkpoint()', 'execute')`,
  )
  if (allowed?.[0] !== 't') return 'hidden'
  const [row] = await client.query(
    'SELECT s.system_identifier, c.timeline_id FROM pg_control_system() s, pg_control_checkpoint() c',
  )
  return `${row?.[0]}/${row?.[1]}`
}
