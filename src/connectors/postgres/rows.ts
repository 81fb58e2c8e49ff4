/**
 * Rows of a query, through COPY. A row that can't be told as it is is rejected by its key, and the others are given: one without a key,
 * one of bytes that are no text, one that is too large, one that the server can't send.
 */

import { keyText } from '../../core/key-text.ts'
import { type Field, fieldNamed } from '../../core/schema.ts'
import type { Rejection } from '../../core/sync.ts'
import { canonical, type Key, type Row, type Value } from '../../core/value.ts'
import type { Chunk } from '../connector.ts'
import { quote } from '../sql.ts'
import type { Client } from './client.ts'
import { CopyDecoder } from './copy.ts'
import { isRowError, isTooLarge, isUnsendable, toldByServer, withoutValues } from './errors.ts'
import { brokenFrames, frameOf, type LargeRow } from './frames.ts'
import { keysSql } from './loose.ts'
import { fromText } from './types.ts'

/** Which rows a view shows: an SQL FROM clause and condition, and the fields that can be asked for. */
export interface Relation {
  readonly from: string
  readonly where: string | null
  readonly fields: readonly Field[]
  readonly key: readonly Field[]
  /** Whether an index begins with the first key field. */
  readonly indexed: boolean
  /** Names of the loose columns. */
  readonly loose: readonly string[]
}

/** Where rows come from, and in which order. */
export interface Query {
  /** FROM and WHERE. */
  readonly from: string
  readonly order?: string
  /** The order is that of the whole key: read again, rows come in the same. */
  readonly total?: true
}

export interface CopiedChunk extends Chunk {
  /** Rows of it may have been given before. */
  readonly again: boolean
}

/** The rows of a query in chunks. */
export async function* copyRows(
  client: Client,
  relation: Relation,
  query: Query,
  names: readonly string[],
): AsyncIterable<CopiedChunk> {
  let given = 0
  try {
    for await (const chunk of sentRows(client, relation, selectSql(query, names), names)) {
      given += chunk.rows.length + chunk.rejects.length
      yield { ...chunk, again: false }
    }
    return
  } catch (error) {
    if (!isOfRow(relation, error)) throw error
  }
  yield* rowsByKey(client, relation, query, names, query.total === true ? given : 0)
}

export function copySql(query: Query, names: readonly string[]): string {
  return `COPY (${selectSql(query, names)}) TO STDOUT`
}

function selectSql({ from, order }: Query, names: readonly string[]): string {
  return `SELECT ${columnsSql(names)} FROM ${from}${order === undefined ? '' : ` ORDER BY ${order}`}`
}

/** Keys that are read at once, and then their rows. */
const KEYS_AT_ONCE = 1000

/**
 * The rows of a query that the server can't send as a whole: by their keys, down to those that it can't send. `given`: rows to pass over.
 * Needs a transaction, for its cursor.
 */
export async function* rowsByKey(
  client: Client,
  relation: Relation,
  query: Query,
  names: readonly string[],
  given: number,
): AsyncIterable<CopiedChunk> {
  const keyNames = relation.key.map(({ name }) => name)
  const cursor = '_syncline_keys'
  await client.query(
    `DECLARE ${cursor} NO SCROLL CURSOR FOR ${selectSql(query, keyNames)}; MOVE FORWARD ${given} FROM ${cursor}`,
  )
  try {
    for (;;) {
      const found = await client.query(`FETCH FORWARD ${KEYS_AT_ONCE} FROM ${cursor}`)
      if (found.length === 0) return
      const keys = found.map((values) =>
        relation.key.map(({ type }, at) => {
          const text = values[at] ?? null
          return text === null ? null : fromText(type, text)
        }),
      )
      const whole = keys.filter((key) => !key.includes(null))
      const chunk = inOrder(relation, names, await fetchSome(client, relation, whole, names), whole)
      const rejects = keys.filter((key) => key.includes(null)).map(withoutKey)
      yield { ...withRejects(chunk, rejects), again: true }
    }
  } finally {
    // After an error it is gone with the transaction.
    await client.query(`CLOSE ${cursor}`).catch(() => {})
  }
}

function inOrder(relation: Relation, names: readonly string[], chunk: Chunk, keys: readonly Key[]): Chunk {
  const place = new Map(keys.map((key, at) => [keyText(key), at]))
  const keyAt = relation.key.map(({ name }) => names.indexOf(name))
  const placeOf = (row: Row) => place.get(keyText(keyAt.map((at) => row[at] ?? null))) ?? 0
  return { ...chunk, rows: chunk.rows.toSorted((a, b) => placeOf(a) - placeOf(b)) }
}

/** Rows as the server sends them. */
async function* sentRows(
  client: Client,
  relation: Relation,
  query: string,
  names: readonly string[],
): AsyncIterable<Chunk> {
  const fields = names.map((name) => fieldNamed(relation, name))
  const decoder = new CopyDecoder(fields.map((field) => field.type))
  const nullableKeyAt = relation.key.flatMap((field) => (field.nullable ? [names.indexOf(field.name)] : []))
  const checks = client.traits.encoding === 'SQL_ASCII'
  for await (const frames of client.copyOut(`COPY (${query}) TO STDOUT`)) {
    if (frames.large !== undefined) {
      yield { rows: [], rejects: [largeRow(relation, names, frames.large)], bytes: frames.large.line.length }
      continue
    }
    const broken = checks ? brokenFrames(frames) : []
    const bytes = frames.bytes.length
    const { rows, rejects } = withoutBroken(relation, names, decoder.decode(frames), broken)
    yield nullableKeyAt.length === 0
      ? { rows, rejects, bytes }
      : withRejects(withoutNullKeys(relation, names, rows, nullableKeyAt, bytes), rejects)
  }
}

/** The rejection of a row that is too large. A key that is too large itself, or no text, can't be told. */
export function largeRow(relation: Relation, names: readonly string[], { line, without }: LargeRow): Rejection {
  const types = names.map((name) => fieldNamed(relation, name).type)
  const row = new CopyDecoder(types).decode({ bytes: frameOf(line), rows: 1 })[0] ?? []
  const left = without.map((at) => names[at] ?? '').join(', ')
  const key = toldKey(relation, names, row)
  return { key, code: 'VALUE_REFUSED', message: `the row is too large to be read${left === '' ? '' : ` (${left})`}` }
}

export async function fetchRows(
  client: Client,
  relation: Relation,
  keys: readonly Key[],
  names: readonly string[],
): Promise<Chunk> {
  const rows: Row[] = []
  const rejects: Rejection[] = []
  let bytes = 0
  for (let start = 0; start < keys.length; start += 1000) {
    const found = await fetchSome(client, relation, keys.slice(start, start + 1000), names)
    rows.push(...found.rows)
    rejects.push(...found.rejects)
    bytes += found.bytes
  }
  return { rows, rejects, bytes }
}

/**
 * By halves, down to rows that can't be sent. A key that is no value of the column's type (a label that its enum does not have) is not
 * there: the others are found without it.
 */
async function fetchSome(
  client: Client,
  relation: Relation,
  keys: readonly Key[],
  names: readonly string[],
): Promise<Chunk> {
  if (keys.length === 0) return nothing
  const from = clause(relation, [keysSql(relation.key, keys, relation.loose)])
  try {
    return await collect(sentRows(client, relation, selectSql({ from }, names), names))
  } catch (error) {
    const unsendable = isOfRow(relation, error)
    if (!unsendable && !(isRowError(error) && relation.key.some(mayRefuse))) throw error
    const [key] = keys
    const keyNames = relation.key.map(({ name }) => name)
    if (keys.length === 1 && key !== undefined)
      return unsendable ? { ...nothing, rejects: [unsentRow(toldKey(relation, keyNames, key), error)] } : nothing
    const middle = keys.length >> 1
    const first = await fetchSome(client, relation, keys.slice(0, middle), names)
    const second = await fetchSome(client, relation, keys.slice(middle), names)
    return {
      rows: [...first.rows, ...second.rows],
      rejects: [...first.rejects, ...second.rejects],
      bytes: first.bytes + second.bytes,
    }
  }
}

/**
 * Whether the server can't give some row: it can't send it, or a generated column of a table raises. Where no index finds rows by their
 * keys (a view), what raises ends the read.
 */
export function isOfRow({ key, indexed }: Relation, error: unknown): boolean {
  if (key.length === 0) return false
  return isUnsendable(error) || (indexed && !key.some(mayRefuse) && isRowError(error))
}

function unsentRow(key: Key, error: unknown): Rejection {
  const told = toldByServer(error)
  const words = told === null ? '' : `: ${withoutValues(told.message)}`
  return {
    key,
    code: 'VALUE_REFUSED',
    message: `Postgres can't send the row${isTooLarge(error) ? ', which is too large as text' : ''}${words}`,
  }
}

const nothing: Chunk = { rows: [], rejects: [], bytes: 0 }

async function collect(chunks: AsyncIterable<Chunk>): Promise<Chunk> {
  const rows: Row[] = []
  const rejects: Rejection[] = []
  let bytes = 0
  for await (const chunk of chunks) {
    rows.push(...chunk.rows)
    rejects.push(...chunk.rejects)
    bytes += chunk.bytes
  }
  return { rows, rejects, bytes }
}

/** Whether a text may be none of the column's type. */
function mayRefuse({ type, native }: Field): boolean {
  return type === 'text' && !/^(text|character varying)$/.test(native)
}

/** The FROM and WHERE of a relation with more conditions. */
export function clause(relation: Relation, conditions: readonly string[]): string {
  const all = relation.where === null ? conditions : [relation.where, ...conditions]
  return all.length === 0 ? relation.from : `${relation.from} WHERE ${all.join(' AND ')}`
}

export function columnsSql(names: readonly string[]): string {
  return names.map(quote).join(', ')
}

/** Rows of a database that lets any bytes in as text: those whose bytes are not UTF-8 are refused, not respelled. */
function withoutBroken(
  relation: Relation,
  names: readonly string[],
  all: readonly Row[],
  broken: readonly number[],
): { readonly rows: readonly Row[]; readonly rejects: readonly Rejection[] } {
  if (broken.length === 0) return { rows: all, rejects: [] }
  const isBroken = new Set(broken)
  const rejects = broken.map((at): Rejection => {
    const row = all[at] ?? []
    const fields = names.filter((_name, column) => isRespelled(row[column] ?? null))
    return {
      key: toldKey(relation, names, row),
      code: 'VALUE_REFUSED',
      message: `${fields.join(', ')}: bytes that are not UTF-8, in a database of encoding SQL_ASCII`,
    }
  })
  return { rows: all.filter((_row, at) => !isBroken.has(at)), rejects }
}

/** A row's key in its one spelling, by which look-ups ask for it. A part that can't be spelled is none that the row could be found by. */
function toldKey({ key }: Relation, names: readonly string[], row: Row): Key {
  return key.map(({ name, type }) => {
    const value = row[names.indexOf(name)] ?? null
    return isRespelled(value) ? null : canonical(type, value)
  })
}

/** Whether a text may be none of the database's. */
function isRespelled(value: Value): boolean {
  return typeof value === 'string' && value.includes('\ufffd')
}

function withoutKey(key: Key): Rejection {
  return { key, code: 'VALUE_REFUSED', message: 'a key field is NULL' }
}

function withRejects(chunk: Chunk, rejects: readonly Rejection[]): Chunk {
  return { ...chunk, rejects: [...rejects, ...chunk.rejects] }
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
    else rejects.push(withoutKey(relation.key.map((field) => row[names.indexOf(field.name)] ?? null)))
  }
  return { rows, rejects, bytes }
}
