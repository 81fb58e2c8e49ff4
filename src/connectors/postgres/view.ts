/** Rows of a table at one instant: what reads, sweeps, plan and verify of a Postgres table are made of. */
import { type Field, fieldNamed } from '../../core/schema.ts'
import type { Rejection } from '../../core/sync.ts'
import type { Key, Row, Value } from '../../core/value.ts'
import type { Chunk, Encoded, Range, View } from '../connector.ts'
import { quote } from '../sql.ts'
import type { Client } from './client.ts'
import { CopyDecoder, countLines, LineCutter, literal } from './copy.ts'
import { fromText } from './types.ts'

/** Which rows a view shows: an SQL FROM clause and condition, and the fields that can be asked for. */
export interface Relation {
  readonly from: string
  readonly where: string | null
  readonly fields: readonly Field[]
  readonly key: readonly Field[]
}

export interface ViewOptions {
  readonly cursor: string | null
  /** A query of the same transaction that is under way already. */
  readonly count?: () => Promise<number>
  readonly dispose: () => Promise<void>
}

export function openView(client: Client, relation: Relation, options: ViewOptions): View {
  const first = relation.key[0]
  return {
    cursor: options.cursor,
    count:
      options.count ??
      (async () => Number((await client.query(`SELECT count(*) FROM ${clause(relation, [])}`))[0]?.[0])),
    extent: async () => {
      // Postgres has no min(uuid) before 18.
      if (first === undefined || first.type !== 'integer') return null
      const [row] = await client.query(
        `SELECT min(${quote(first.name)}), max(${quote(first.name)}) FROM ${clause(relation, [])}`,
      )
      const [low, high] = row ?? []
      return low === null || low === undefined || high === null || high === undefined
        ? null
        : [fromText(first.type, low), fromText(first.type, high)]
    },
    summarize: async (bounds) => summarize(client, relation, bounds),
    scan: (ranges, fields) => scan(client, relation, ranges, fields),
    fetch: async (keys, fields) => fetchRows(client, relation, keys, fields),
    [Symbol.asyncDispose]: options.dispose,
  }
}

/** Ranges per query of a sweep. */
const RANGES_PER_QUERY = 256

async function* scan(
  client: Client,
  relation: Relation,
  ranges: readonly Range[],
  names: readonly string[],
): AsyncIterable<Chunk> {
  const order = relation.key.map(keySql).join(', ')
  for (let start = 0; start < ranges.length; start += RANGES_PER_QUERY) {
    const condition = rangesSql(relation, ranges.slice(start, start + RANGES_PER_QUERY))
    yield* copyRows(
      client,
      relation,
      `SELECT ${columnsSql(names)} FROM ${clause(relation, condition)} ORDER BY ${order}`,
      names,
    )
  }
}

/** The rows of a query in chunks, through COPY. A row without a key is rejected. */
export async function* copyRows(
  client: Client,
  relation: Relation,
  query: string,
  names: readonly string[],
): AsyncIterable<Chunk> {
  const fields = names.map((name) => fieldNamed(relation, name))
  const decoder = new CopyDecoder(fields.map((field) => field.type))
  const nullableKeyAt = relation.key.flatMap((field) => (field.nullable ? [names.indexOf(field.name)] : []))
  for await (const piece of client.copyOut(`COPY (${query}) TO STDOUT`)) {
    const { rows, bytes } = decoder.push(piece)
    if (rows.length === 0) continue
    yield nullableKeyAt.length === 0
      ? { rows, rejects: [], bytes }
      : withoutNullKeys(relation, names, rows, nullableKeyAt, bytes)
  }
}

/** The rows of a query as whole lines of COPY output, undecoded. */
export async function* encodedRows(client: Client, query: string): AsyncIterable<Encoded> {
  const lines = new LineCutter()
  for await (const piece of client.copyOut(`COPY (${query}) TO STDOUT`)) {
    const bytes = lines.push(piece)
    if (bytes !== null) yield { bytes, rows: countLines(bytes) }
  }
}

export async function fetchRows(
  client: Client,
  relation: Relation,
  keys: readonly Key[],
  names: readonly string[],
): Promise<Chunk> {
  const rows: Row[] = []
  let bytes = 0
  for (let start = 0; start < keys.length; start += 1000) {
    const condition = keysSql(relation.key, keys.slice(start, start + 1000))
    for await (const chunk of copyRows(
      client,
      relation,
      `SELECT ${columnsSql(names)} FROM ${clause(relation, [condition])}`,
      names,
    )) {
      rows.push(...chunk.rows)
      bytes += chunk.bytes
    }
  }
  return { rows, rejects: [], bytes }
}

/** `key IN (…)` with literals: COPY takes no parameters. */
export function keysSql(key: readonly Field[], keys: readonly Key[]): string {
  const names = key.map((field) => quote(field.name))
  const tuple = (values: Key) => key.map((field, i) => literal(field, values[i] as Value, field.native)).join(', ')
  if (names.length === 1) return `${names[0]} IN (${keys.map(tuple).join(', ')})`
  return `(${names.join(', ')}) IN (VALUES ${keys.map((values) => `(${tuple(values)})`).join(', ')})`
}

/** The FROM and WHERE of a relation with more conditions. */
export function clause(relation: Relation, conditions: readonly string[]): string {
  const all = relation.where === null ? conditions : [relation.where, ...conditions]
  return all.length === 0 ? relation.from : `${relation.from} WHERE ${all.join(' AND ')}`
}

export function columnsSql(names: readonly string[]): string {
  return names.map(quote).join(', ')
}

/** The expression whose order is the order of keys: bytes of the canonical spelling, size for numbers. */
function keySql(field: Field): string {
  const column = quote(field.name)
  switch (field.type) {
    case 'integer':
    case 'boolean':
    case 'float':
    case 'bytes':
    case 'uuid':
      return column
    case 'decimal':
      return `trim_scale(${column})::text COLLATE "C"`
    default:
      // The cast of a blank-padded char(n) to text strips the blanks that its value has.
      return field.native.startsWith('character(')
        ? `textin(bpcharout(${column})) COLLATE "C"`
        : `${column}::text COLLATE "C"`
  }
}

function rangesSql(relation: Relation, ranges: readonly Range[]): string[] {
  const first = relation.key[0]
  if (first === undefined) return []
  const native = first.type === 'text' ? 'text' : first.native
  const condition = ({ from, to }: Range) => [
    ...(from === null ? [] : [`${boundSql(first)} >= ${literal(first, from, native)}`]),
    ...(to === null ? [] : [`${boundSql(first)} < ${literal(first, to, native)}`]),
  ]
  const all = ranges.map(condition)
  if (all.some((parts) => parts.length === 0)) return []
  return [`(${all.map((parts) => `(${parts.join(' AND ')})`).join(' OR ')})`]
}

/** One pass over the table, whatever the number of ranges. */
async function summarize(client: Client, relation: Relation, bounds: readonly Value[]): Promise<number[]> {
  const first = relation.key[0]
  const counts: number[] = new Array(bounds.length + 1).fill(0)
  if (first === undefined) return counts
  const array = `ARRAY[${bounds.map((bound) => literal(first, bound, 'text')).join(', ')}]::${bounds.length === 0 ? 'text[]' : boundType(first)}[]`
  const bucket = bounds.length === 0 ? '0' : `width_bucket(${boundSql(first)}::${boundType(first)}, ${array})`
  for (const [at, rows] of await client.query(`SELECT ${bucket}, count(*) FROM ${clause(relation, [])} GROUP BY 1`))
    counts[Number(at)] = Number(rows)
  return counts
}

/** What bounds are compared with: text by its bytes, whatever its collation. */
function boundSql(field: Field): string {
  return field.type === 'text' ? keySql(field) : quote(field.name)
}

function boundType(field: Field): string {
  return field.type === 'integer' ? 'bigint' : field.type === 'text' ? 'text' : field.native
}

function withoutNullKeys(
  relation: Relation,
  names: readonly string[],
  all: readonly Row[],
  keyAt: readonly number[],
  bytes: number,
): Chunk {
  const rows: Row[] = []
  const rejects: Rejection[] = []
  for (const row of all) {
    if (!keyAt.some((at) => row[at] === null)) rows.push(row)
    else
      rejects.push({
        key: relation.key.map((field) => row[names.indexOf(field.name)] ?? null),
        code: 'VALUE_REFUSED',
        message: 'a key field is NULL',
      })
  }
  return { rows, rejects, bytes }
}
