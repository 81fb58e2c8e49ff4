/** Rows of a table at one instant: what reads, sweeps, plan and verify of a SQLite file are made of. */
import type { DatabaseSync } from 'node:sqlite'
import { keyText, parseKeyText } from '../../core/key-text.ts'
import { type Field, fieldNamed } from '../../core/schema.ts'
import type { Key, Value } from '../../core/value.ts'
import type { Chunk, Range, View } from '../connector.ts'
import { quote } from '../sql.ts'
import { prepareArrays } from './database.ts'
import {
  asStored,
  bigintOf,
  emptyChunk,
  type GrowingChunk,
  isText,
  keyPart,
  keyReader,
  preparing,
  type Relation,
  rowDecoder,
  rowidAt,
  rowidOf,
} from './decode.ts'
import { attempt, attemptEach } from './errors.ts'
import { carefully, RowTooLarge, readable, readersOf, rowTooLargeSql, tooLargeSql } from './large.ts'
import {
  anyStorageSql,
  furtherTwins,
  keysSql,
  mayRespell,
  openQuestion,
  type Question,
  twinKeys,
  usualQuestion,
  valueSql,
  withoutTwins,
} from './spelling.ts'
import { type Bindable, keepsDigits, storageOf, toStorage } from './types.ts'

/** Rows per chunk: large enough to amortise a turn of the event loop, small enough to die young in memory. */
const CHUNK_ROWS = 1000
const FIRST_CHUNK_ROWS = 50
const CHUNK_BYTES = 1024 * 1024

export interface ViewOptions {
  readonly cursor: string | null
  readonly dispose: () => void
}

export function openView(database: DatabaseSync, relation: Relation, options: ViewOptions): View {
  const first = relation.key[0]
  const { file } = relation
  return {
    cursor: options.cursor,
    count: async () => Number(getRow(database, relation, `SELECT count(*) FROM ${clause(relation, [])}`)[0]),
    extent: async () => {
      if (first === undefined || first.type !== 'integer') return null
      const [low, high] = getRow(
        database,
        relation,
        `SELECT CAST((SELECT min(${quote(first.name)}) FROM ${clause(relation, [])}) AS TEXT), CAST((SELECT max(${quote(first.name)}) FROM ${clause(relation, [])}) AS TEXT)`,
      )
      // A text or a fraction may stand in a column of integers.
      if (!isInteger(low) || !isInteger(high)) return null
      return [bigintOf(first, low), bigintOf(first, high)]
    },
    summarize: async (bounds) => attempt(file, () => summarize(database, relation, bounds)),
    scan: (ranges, fields) => attemptEach(file, () => scan(database, relation, ranges, fields)),
    fetch: async (keys, fields) => attempt(file, () => fetchRows(database, relation, keys, fields)),
    [Symbol.asyncDispose]: async () => options.dispose(),
  }
}

function isInteger(text: Bindable | undefined): text is string {
  return typeof text === 'string' && /^-?\d+$/.test(text)
}

/** Rows of ranges in key order. */
async function* scan(
  database: DatabaseSync,
  relation: Relation,
  ranges: readonly Range[],
  names: readonly string[],
): AsyncIterable<Chunk> {
  const order = relation.key.map((field) => keySql(relation, field)).join(', ')
  const pages = rowidPages(database, relation, names)
  const single = refusingTwins(database, relation, names)
  for (const range of ranges) {
    const [conditions, values] = rangeSql(relation, range)
    if (relation.rowidKey) yield* pages({ conditions, values, after: null })
    else
      for await (const chunk of rowsOf(database, relation, { conditions, values, order, total: true }, names))
        yield single(chunk)
  }
}

/** Refuses rows that have the key of another row. Most tables can have none. */
export function refusingTwins(
  database: DatabaseSync,
  relation: Relation,
  names: readonly string[],
): <Of extends Chunk>(chunk: Of) => Of {
  if (!mayRespell(relation)) return (chunk) => chunk
  const keyOf = keyReader(relation, names)
  let twins: ReadonlySet<string> | null = null
  return (chunk) => {
    twins ??= twinKeys(database, relation)
    return withoutTwins(chunk, keyOf, twins)
  }
}

export interface PageOptions {
  readonly conditions: readonly string[]
  readonly values: readonly Bindable[]
  /** Rows above this rowid only. */
  readonly after: number | bigint | null
}

/** A chunk of rows in rowid order; `last` is the highest rowid in it. */
export interface RowidChunk extends Chunk {
  readonly last: number | bigint
}

/**
 * Rows in rowid order, a page per query: measured, fetching a page at once takes three quarters of the time of stepping
 * through it. Pages begin small and grow to what CHUNK_BYTES allows, so that large rows don't fill the memory; what was
 * learned and prepared serves the next call.
 */
export function rowidPages(
  database: DatabaseSync,
  relation: Relation,
  names: readonly string[],
): (options: PageOptions) => AsyncIterable<RowidChunk> {
  const readers = readersOf((careful) => ({
    decode: rowDecoder(database, relation, names, careful),
    columns: columnsSql(relation, names, { paged: true, careful }),
  }))
  const at = rowidAt(relation, names)
  const prepare = preparing(database)
  const page = (conditions: readonly string[], values: readonly Bindable[]) =>
    carefully(relation, (careful) => {
      const { decode, columns } = readers(careful)
      const statement = prepare(`SELECT ${columns} FROM ${clause(relation, conditions)} ORDER BY rowid LIMIT ?`)
      const stored = attempt(relation.file, () => readable(() => statement.all(...values, limit)))
      const chunk = emptyChunk()
      let last: number | bigint = 0
      for (const row of stored) {
        const values = asStored(row)
        last = rowidOf(values[at])
        decode(values, chunk)
      }
      return { chunk, last, rows: stored.length }
    })
  let limit = FIRST_CHUNK_ROWS
  let unbreathed = 0
  return async function* (options) {
    for (let last = options.after; ; ) {
      const conditions = last === null ? options.conditions : [...options.conditions, 'rowid > ?']
      const after = last === null ? [] : [last]
      const { chunk, rows, ...read } = page(conditions, [...options.values, ...after])
      if (rows === 0) return
      last = read.last
      yield { ...chunk, last }
      const complete = rows < limit
      limit = Math.max(1, Math.min(CHUNK_ROWS, Math.floor((CHUNK_BYTES * rows) / Math.max(1, chunk.bytes))))
      unbreathed += rows
      if (unbreathed >= CHUNK_ROWS || chunk.bytes >= CHUNK_BYTES || !complete) {
        unbreathed = 0
        await breathe()
      }
      if (complete) return
    }
  }
}

/** Which rows, and in which order. */
export interface Query {
  readonly conditions: readonly string[]
  readonly values: readonly Bindable[]
  readonly order?: string
  /** The order is that of the whole key: read again, rows come in the same. */
  readonly total?: true
}

export interface ReadChunk extends Chunk {
  /** Rows of it may have been given before. */
  readonly again: boolean
}

/** The rows of a query in chunks, decoded; a turn of the event loop between chunks lets signals and timers in. */
export async function* rowsOf(
  database: DatabaseSync,
  relation: Relation,
  query: Query,
  names: readonly string[],
): AsyncIterable<ReadChunk> {
  let given = 0
  try {
    for await (const chunk of steps(database, relation, query, names, false)) {
      given += chunk.rows.length + chunk.rejects.length
      yield { ...chunk, again: false }
    }
    return
  } catch (error) {
    if (!(error instanceof RowTooLarge)) throw error
  }
  const passed = query.total === true ? given : 0
  for await (const chunk of steps(database, relation, query, names, true, passed)) yield { ...chunk, again: true }
}

/** `passed`: rows to pass over. */
async function* steps(
  database: DatabaseSync,
  relation: Relation,
  { conditions, values, order }: Query,
  names: readonly string[],
  careful: boolean,
  passed = 0,
): AsyncIterable<Chunk> {
  const decode = rowDecoder(database, relation, names, careful)
  const ordered = `${order === undefined ? '' : ` ORDER BY ${order}`}${passed === 0 ? '' : ` LIMIT -1 OFFSET ${passed}`}`
  const sql = `SELECT ${columnsSql(relation, names, { careful })} FROM ${clause(relation, conditions)}${ordered}`
  const rows = attempt(relation.file, () => prepareArrays(database, sql).iterate(...values))
  let chunk = emptyChunk()
  for (;;) {
    const next = attempt(relation.file, () => readable(() => rows.next()))
    if (next.done) break
    decode(asStored(next.value), chunk)
    if (chunk.rows.length + chunk.rejects.length < CHUNK_ROWS && chunk.bytes < CHUNK_BYTES) continue
    yield chunk
    chunk = emptyChunk()
    await breathe()
  }
  if (chunk.rows.length + chunk.rejects.length > 0) yield chunk
}

/** Lets the event loop turn: SQLite never waits by itself, so signals and timers would not be heard. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Rows by key; keys that are not there are left out. `twins`: several rows may have a key. */
export function fetchRows(
  database: DatabaseSync,
  relation: Relation,
  keys: readonly Key[],
  names: readonly string[],
  { twins = false } = {},
): Chunk {
  const all = emptyChunk()
  const look = lookingUp(database, relation, names)
  look(usualQuestion(relation, keys), all)
  if (!mayRespell(relation)) return all
  const keyOf = keyReader(relation, names)
  const met = () => [...all.rows.map(keyOf), ...all.rejects.map(({ key }) => key)].map(keyText)
  const found = new Set(met())
  const rest = keys.filter(
    (key) => !found.has(keyText(key.map((part, at) => keyPart(relation.key[at] as Field, part)))),
  )
  const open = openQuestion(database, relation, rest)
  if (open !== null) look(open, all)
  if (twins) return all
  const several = Map.groupBy(all.rows.map(keyOf).map(keyText), (key) => key)
  const doubled = [...several].flatMap(([key, { length }]) => (length > 1 ? [key] : []))
  const further = furtherTwins(
    database,
    relation,
    [...several].flatMap(([key, { length }]) => (length === 1 ? [parseKeyText(key)] : [])),
  )
  return withoutTwins(all, keyOf, new Set([...doubled, ...further]))
}

/** Adds rows of keys to a chunk. */
function lookingUp(
  database: DatabaseSync,
  relation: Relation,
  names: readonly string[],
): (question: Question, all: GrowingChunk) => void {
  const readers = readersOf((careful) => ({
    decode: rowDecoder(database, relation, names, careful),
    columns: columnsSql(relation, names, { careful }),
  }))
  const isTold = (value: Bindable, at: number) => typeof value === 'string' && relation.key[at]?.type !== 'uuid'
  return ({ parts, tuples, reads }, all) => {
    // Only texts may be taken for each other, and two spellings of a UUID should be.
    const bytes = !reads && relation.system === 'sqlite' && tuples.some((one) => one.some(isTold))
    const perStatement = Math.max(1, Math.floor((reads ? READING_VALUES : bytes ? 200 : 900) / parts.length))
    for (let start = 0; start < tuples.length; start += perStatement) {
      const part = tuples.slice(start, start + perStatement)
      const values = part.flat()
      const from = clause(relation, [keysSql(parts, part.length, bytes)])
      const found = carefully(relation, (careful) => {
        const { decode, columns } = readers(careful)
        const statement = prepareArrays(database, `SELECT ${columns} FROM ${from}`)
        const chunk = emptyChunk()
        for (const stored of attempt(relation.file, () => readable(() => statement.all(...values))))
          decode(asStored(stored), chunk)
        return chunk
      })
      all.rows.push(...found.rows)
      all.rejects.push(...found.rejects)
      all.bytes += found.bytes
    }
  }
}

/** Of a statement that reads the table: SQLite takes 32,766. */
const READING_VALUES = 10_000

/** The FROM and WHERE of a relation with more conditions. */
export function clause(relation: Relation, conditions: readonly string[]): string {
  const all = relation.where === null ? conditions : [relation.where, ...conditions]
  return all.length === 0 ? relation.from : `${relation.from} WHERE ${all.join(' AND ')}`
}

/**
 * Columns in the order of `names`, integers beyond 2^53 as text so that reading never fails and never rounds. Behind them what tells
 * whether a text was decoded exactly, where others may have written it: the rowid, or the bytes of each text. `paged`: the rowid in any case.
 * `careful`: at the end whether the row is too large, and NULL in the place of values that are.
 */
export function columnsSql(
  relation: Relation,
  names: readonly string[],
  { paged = false, careful = false } = {},
): string {
  const fields = names.map((name) => fieldNamed(relation, name))
  const guard = (field: Field, sql: string) =>
    careful ? `CASE WHEN ${tooLargeSql(relation, field)} THEN NULL ELSE ${sql} END` : sql
  const columns = fields.map((field) => guard(field, columnSql(relation, field)))
  const checked = relation.system === 'sqlite'
  if (paged || (checked && relation.rowids)) {
    if (rowidAt(relation, names) === names.length) columns.push(safeIntegerSql('rowid'))
  } else if (checked)
    columns.push(...fields.filter(isText).map((field) => guard(field, `CAST(${quote(field.name)} AS BLOB)`)))
  if (careful) columns.push(rowTooLargeSql(relation, fields))
  return columns.join(', ')
}

/** A column that a statement returns whose integers are read as bigints. */
export function returnedSql(system: string, field: Field): string {
  const column = quote(field.name)
  if (system !== 'sqlite' || field.type === 'integer') return column
  return field.systemType !== undefined || holdsDigits(field) ? anyStorageSql(column, field) : column
}

/** Whether numbers are read as their digits. */
function holdsDigits(field: Field): boolean {
  return ['decimal', 'json', 'bytes'].includes(field.type) || keepsDigits(field)
}

function columnSql(relation: Relation, field: Field): string {
  const column = storedSql(relation, field)
  if (field.systemType !== undefined) return anyStorageSql(column, field)
  if (field.type === 'integer') return safeIntegerSql(column)
  // A REAL column turns integers into reals, and a TEXT column into text.
  const holdsNone =
    (field.type === 'float' && /REAL|FLOA|DOUB/i.test(field.native)) ||
    (field.type === 'text' && /CHAR|CLOB|TEXT/i.test(field.native))
  if (relation.system !== 'sqlite' || holdsNone) return column
  if (holdsDigits(field) && field.type !== 'bytes')
    return `CASE WHEN typeof(${column}) = 'integer' THEN CAST(${column} AS TEXT) ELSE ${column} END`
  return field.type === 'boolean' || field.type === 'float' ? safeIntegerSql(column) : safeNumberSql(column)
}

/** An integer as a number when it is safe, else as text: node:sqlite would throw. */
export function safeIntegerSql(column: string): string {
  return `CASE WHEN ${column} BETWEEN -9007199254740991 AND 9007199254740991 OR typeof(${column}) <> 'integer' THEN ${column} ELSE CAST(${column} AS TEXT) END`
}

/** For a column that should hold no number: one that does is still a number when it comes out, to be refused. */
function safeNumberSql(column: string): string {
  return `CASE WHEN typeof(${column}) = 'integer' THEN CAST(${column} AS REAL) ELSE ${column} END`
}

/** A column's value in the storage of its field. */
function storedSql({ widening }: Relation, { name, type }: Field): string {
  return widening?.has(name) === true ? `CAST(${quote(name)} AS ${storageOf(type)})` : quote(name)
}

/** The expression whose order is the order of keys: bytes for text, size for numbers. */
function keySql(relation: Relation, field: Field): string {
  const column = storedSql(relation, field)
  const value = valueSql(relation.system, field)
  if (value !== quote(field.name)) return value
  // A number of its own spelling: 1e20.
  if (relation.system === 'sqlite' && field.type === 'decimal') return `_syncline_canonical('decimal', ${column})`
  return ['integer', 'boolean', 'float', 'bytes'].includes(field.type) ? column : `${column} COLLATE BINARY`
}

function rangeSql(relation: Relation, range: Range): [string[], Bindable[]] {
  const first = relation.key[0]
  const conditions: string[] = []
  const values: Bindable[] = []
  for (const [operator, value] of [['>=', range.from] as const, ['<', range.to] as const]) {
    if (value === null || first === undefined) continue
    conditions.push(`${keySql(relation, first)} ${operator} ?`)
    values.push(toStorage(first, value, true))
  }
  return [conditions, values]
}

function summarize(database: DatabaseSync, relation: Relation, bounds: readonly Value[]): number[] {
  const counts: number[] = []
  // One short index scan per range: grouping by an expression would sort all keys.
  const prepare = preparing(database)
  for (let i = 0; i <= bounds.length; i++) {
    const [conditions, values] = rangeSql(relation, { from: bounds[i - 1] ?? null, to: bounds[i] ?? null })
    const statement = prepare(`SELECT count(*) FROM ${clause(relation, conditions)}`)
    counts.push(Number(asStored(statement.get(...values))[0]))
  }
  return counts
}

function getRow(database: DatabaseSync, relation: Relation, sql: string): Bindable[] {
  return asStored(attempt(relation.file, () => prepareArrays(database, sql).get()))
}
