/**
 * A Postgres table or view as a collection. Every read is ONE repeatable-read transaction: lock, snapshot, identity
 * check, rows, count. (Locking after the snapshot would let a rewriting ALTER show an empty table.)
 */
import { SyncError } from '../../core/error.ts'
import { bindFilter } from '../../core/filter.ts'
import { type Field, fieldNamed, refuseChanged, withKey } from '../../core/schema.ts'
import type { Row } from '../../core/value.ts'
import type {
  Collection,
  CollectionOptions,
  Context,
  Cursor,
  Lookup,
  Page,
  ReadOptions,
  Selection,
  View,
} from '../connector.ts'
import { refusedWrites } from '../rehearsed-writes.ts'
import { filterSql, quote } from '../sql.ts'
import { findTable, foreignPart, requireTable, type Table, tableSql } from './catalog.ts'
import { type Client, connect } from './client.ts'
import type { PostgresConfig } from './config.ts'
import { dependentsOf } from './dependents.ts'
import { isMissingRight, toldByServer } from './errors.ts'
import { postgresDialect } from './filter.ts'
import { Newest, newestOf, proveHistory, withTransaction, witnessOf } from './history.ts'
import { groupingSql } from './loose.ts'
import {
  changedSql,
  finiteSql,
  holdBack,
  type Now,
  type Part,
  type Position,
  parsePosition,
  positionNow,
  runningNow,
  sinceSql,
} from './position.ts'
import { rehearse } from './rehearsal.ts'
import {
  type CopiedChunk,
  clause,
  copyRows,
  copySql,
  fetchRows,
  isOfRow,
  largeRow,
  type Query,
  type Relation,
  rowsByKey,
} from './rows.ts'
import { changeable } from './table.ts'
import { openView } from './view.ts'
import { fencesOf, openWriter } from './writer.ts'

/** How changes past a cursor are found. */
type Following =
  | { readonly kind: 'horizon' }
  | { readonly kind: 'field'; readonly field: Field }
  | { readonly kind: 'none'; readonly reason: string }

/** Blocks per COPY of a snapshot: 32 MB of table, so that a killed copy repeats little and the server seldom waits for us. */
const BLOCKS_PER_RANGE = 4096

/** Frames of COPY's text format under our session settings. */
export const copyEncoding = 'postgres/copy-frames'

interface Source {
  readonly config: PostgresConfig
  /** Of the work that reads. */
  readonly signal: AbortSignal
  readonly table: Table
  readonly following: Following
  /** Whether blocks and transaction numbers of this server tell its rows apart. */
  readonly heap: boolean
  /** Whether a run looks at the next view, and is going to follow from it. */
  prepared: boolean
}

export async function openCollection(
  config: PostgresConfig,
  context: Context,
  client: Client,
  name: string,
  options: CollectionOptions,
): Promise<Collection> {
  const found = await requireTable(client, name)
  const table: Table = { ...found, schema: withKey(found.schema, options.key ?? null) }
  const [standby] = await client.query('SELECT pg_is_in_recovery()')
  const isTable = table.kind === 'r' || table.kind === 'p'
  const foreign = isTable ? await foreignPart(client, table) : null
  const source: Source = {
    config,
    signal: context.signal,
    table,
    following: chooseFollowing(table, options.cursor ?? null, standby?.[0] === 't', foreign),
    heap: isTable && foreign === null,
    prepared: false,
  }
  return {
    schema: changeable(table.schema, table.identities),
    feed: source.following.kind === 'none' ? 'none' : 'puts',
    feedReason: source.following.kind === 'none' ? source.following.reason : null,
    read: (cursor, readOptions) => read(source, cursor, readOptions),
    lookup: openLookup(source, client),
    ...(table.kind === 'r' || table.kind === 'p'
      ? {
          writer: (spec) => openWriter(config, context, table, spec),
          fences: (name) => fencesOf(client, table.schema, name),
          dependents: (keys, keeps) => dependentsOf(client, table, keys, keeps),
          rehearse: (writes) =>
            refusedWrites(table.schema, writes, async (spec, rows) => {
              try {
                return await rehearse(client, spec, rows)
              } catch (error) {
                // A side needs no right to make temporary tables, and where none can be made nothing is foreseen.
                if (!['42501', '25006'].includes(toldByServer(error)?.code ?? '')) throw error
                return rows
              }
            }),
        }
      : {}),
    // Where the server did not check what it stores, every row is looked at.
    ...(client.traits.encoding === 'SQL_ASCII' ? {} : { encoding: copyEncoding }),
    prepare: async () => {
      source.prepared = true
    },
    view: (selection) => viewNow(source, selection),
    columns: async () => {
      const rows = await client.query(
        `SELECT attname, attnum FROM pg_attribute WHERE attrelid = ${table.oid} AND attnum > 0 AND NOT attisdropped`,
      )
      return {
        marks: Object.fromEntries(rows.map(([column, number]) => [column, `${table.oid}.${number}`])),
        exact: true,
      }
    },
    estimate: async () => {
      const [row] = await client.query(
        `SELECT sum(c.reltuples) FROM pg_partition_tree(${table.oid}) t JOIN pg_class c ON c.oid = t.relid WHERE t.isleaf`,
      )
      const [plain] = await client.query(`SELECT reltuples FROM pg_class WHERE oid = ${table.oid}`)
      const estimate = Number(row?.[0] ?? plain?.[0] ?? -1)
      return estimate > 0 ? Math.round(estimate) : null
    },
  }
}

function chooseFollowing(table: Table, cursor: string | null, standby: boolean, foreign: string | null): Following {
  if (cursor !== null) {
    const field = fieldNamed(table.schema, cursor)
    if (['integer', 'timestamp', 'instant', 'date', 'decimal'].includes(field.type)) return { kind: 'field', field }
    throw new SyncError(
      'CURSOR_UNUSABLE',
      `column ${cursor} of ${table.schema.name} is ${field.native}, which can't be a cursor`,
      {
        hint: 'Choose a number or a time that grows with every change, or leave `cursor` out: Syncline needs none for a table.',
      },
    )
  }
  if (standby) return { kind: 'none', reason: 'the server is a standby, which has no usable transaction horizon' }
  if (foreign !== null) return { kind: 'none', reason: `${foreign}, which has no transaction horizon` }
  if (table.kind === 'r' || table.kind === 'p') return { kind: 'horizon' }
  const kinds: Readonly<Record<string, string>> = { v: 'a view', m: 'a materialized view', f: 'a foreign table' }
  return {
    kind: 'none',
    reason: `${table.schema.name} is ${kinds[table.kind] ?? 'not a table'}, which has no transaction horizon`,
  }
}

async function* read(source: Source, cursor: Cursor | null, options: ReadOptions): AsyncIterable<Page> {
  const { table, following, heap } = source
  await using snapshot = await openSnapshot(source)
  const { client } = snapshot
  const now = await positionNow(client, table, heap, snapshot.running)
  const from = cursor === null ? null : parsePosition(cursor, now, table)
  if (from !== null) await proveHistory(client, from, now, options.fields, table.schema.name)
  const relation = relationOf(source, options)
  await refuseDuplicates(client, relation, table)
  if (from === null || from.copy !== undefined) yield* copyPages(client, relation, from, now, options)
  const newest = from !== null && heap ? new Newest(from) : null
  if (from !== null && following.kind !== 'none')
    yield* changedPages(client, relation, following, from, newest, options)
  // The server counts while the last page is being written.
  const counting = census(client, relation, following)
  counting.catch(() => {})
  const here = following.kind === 'field' ? await holdBack(client, from, now, (await counting).max) : now.position
  const row = newest?.row ?? null
  const witness = row === null ? from?.witness : await witnessOf(client, relation, options.fields, row)
  const next = JSON.stringify(witness === undefined ? here : { ...here, witness })
  const view = openView(client, relation, {
    cursor: next,
    count: async () => (await counting).count,
    dispose: async () => {},
  })
  yield { puts: [], deletes: [], rejects: [], cursor: next, bytes: 0, distinct: false, view }
}

/** Blocks after blocks. The position keeps the horizon of the copy's beginning, whatever later snapshot it is finished in. */
async function* copyPages(
  client: Client,
  relation: Relation,
  from: Position | null,
  now: Now,
  options: ReadOptions,
): AsyncIterable<Page> {
  const start = from ?? now.position
  const distinct = from === null
  const page = ({ rows, rejects, bytes, again }: CopiedChunk, cursor: Cursor): Page => ({
    puts: rows,
    deletes: [],
    rejects,
    cursor,
    bytes,
    distinct: distinct && !again,
  })
  if (now.parts.length === 0) {
    const cursor = JSON.stringify({ ...start, copy: { part: 0, block: 0 } })
    for await (const chunk of copyRows(client, relation, { from: clause(relation, []) }, options.fields))
      yield page(chunk, cursor)
    return
  }
  for (let part = start.copy?.part ?? 0; part < now.parts.length; part++) {
    const { name, blocks } = now.parts[part] as Part
    const here = { ...relation, from: `ONLY ${name}` }
    for (let block = part === start.copy?.part ? start.copy.block : 0; block < blocks; block += BLOCKS_PER_RANGE) {
      const cursor = JSON.stringify({ ...start, copy: { part, block } })
      const range = `ctid >= '(${block},0)' AND ctid < '(${block + BLOCKS_PER_RANGE},0)'`
      const query = { from: clause(here, [range]) }
      if (options.encoded === true && distinct) {
        yield* encodedPages(client, here, query, options.fields, page, cursor)
        continue
      }
      for await (const chunk of copyRows(client, here, query, options.fields)) yield page(chunk, cursor)
      const after = JSON.stringify({ ...start, copy: { part, block: block + BLOCKS_PER_RANGE } })
      yield { puts: [], deletes: [], rejects: [], cursor: after, bytes: 0, distinct }
    }
  }
}

/** Frames as they are; rows that can't be passed on so are rejected. */
async function* encodedPages(
  client: Client,
  relation: Relation,
  query: Query,
  fields: readonly string[],
  page: (chunk: CopiedChunk, cursor: Cursor) => Page,
  cursor: Cursor,
): AsyncIterable<Page> {
  try {
    for await (const frames of client.copyOut(copySql(query, fields))) {
      const { large, ...encoded } = frames
      const bytes = frames.bytes.length
      if (large === undefined) yield { puts: [], encoded, deletes: [], rejects: [], cursor, bytes, distinct: true }
      else yield page({ rows: [], rejects: [largeRow(relation, fields, large)], bytes, again: false }, cursor)
    }
    return
  } catch (error) {
    if (!isOfRow(relation, error)) throw error
  }
  for await (const chunk of rowsByKey(client, relation, query, fields, 0)) yield page(chunk, cursor)
}

async function* changedPages(
  client: Client,
  relation: Relation,
  following: Following,
  from: Position,
  newest: Newest | null,
  options: ReadOptions,
): AsyncIterable<Page> {
  const condition = following.kind === 'field' ? sinceSql(from, following.field) : changedSql(from)
  const names = newest === null ? options.fields : [...options.fields, Newest.field.name]
  const order = following.kind === 'field' ? { order: quote(following.field.name) } : {}
  const query = { from: clause(relation, [condition]), ...order }
  const cursor = JSON.stringify(from)
  const read = newest === null ? relation : withTransaction(relation, options.fields)
  const chunks = copyRows(client, read, query, names)[Symbol.asyncIterator]()
  const first = chunks.next()
  first.catch(() => {})
  try {
    // An empty page: whoever pulls can do something else while the server looks the table through. Measured on a million rows,
    // nothing changed: 160 ms with the target counted meanwhile, else 235 ms.
    yield { puts: [], deletes: [], rejects: [], cursor, bytes: 0, distinct: false }
    for (let next = await first; next.done !== true; next = await chunks.next()) {
      const { rows, rejects, bytes } = next.value
      const puts = newest === null ? rows : newest.take(rows, options.fields.length)
      yield { puts, deletes: [], rejects, cursor, bytes, distinct: false }
    }
  } finally {
    await chunks.return?.()
  }
}

/** Count of rows and the cursor field's largest value: one pass over the table. */
async function census(
  client: Client,
  relation: Relation,
  following: Following,
): Promise<{ count: number; max: string | null }> {
  const max =
    following.kind === 'field'
      ? `(max(${quote(following.field.name)}) FILTER (WHERE ${finiteSql(following.field)}))::text`
      : 'NULL'
  const [row] = await client.query(`SELECT count(*), ${max} FROM ${clause(relation, [])}`)
  return { count: Number(row?.[0]), max: row?.[1] ?? null }
}

async function viewNow(source: Source, selection: Selection): Promise<View> {
  const { client, running } = await openSnapshot(source)
  try {
    const now = await positionNow(client, source.table, source.heap, running)
    const relation = relationOf(source, selection)
    await refuseDuplicates(client, relation, source.table)
    const { following } = source
    const max = following.kind === 'field' ? (await census(client, relation, following)).max : null
    const here = following.kind === 'field' ? await holdBack(client, null, now, max) : now.position
    const witness = source.prepared && source.heap ? await newestOf(client, relation, selection.fields) : undefined
    source.prepared = false
    return openView(client, relation, {
      cursor: following.kind === 'none' ? null : JSON.stringify(witness === undefined ? here : { ...here, witness }),
      dispose: async () => client[Symbol.asyncDispose](),
    })
  } catch (error) {
    await client[Symbol.asyncDispose]()
    throw error
  }
}

interface Snapshot extends AsyncDisposable {
  readonly client: Client
  /** Transactions that ran just before it was taken. */
  readonly running: readonly string[]
}

/**
 * A read-only transaction of one snapshot, with the table locked against rewrites before the snapshot is taken. The lock
 * may have waited for an ALTER TABLE: the columns must still be those that rows are decoded by.
 */
async function openSnapshot({ config, signal, table, following }: Source): Promise<Snapshot> {
  const client = await connect(config, signal)
  try {
    const running = following.kind === 'field' ? await runningNow(client) : []
    await beginLocked(client, table)
    refuseChanged(table.schema, (await findTable(client, table.schema.name))?.schema ?? null)
    return { client, running, [Symbol.asyncDispose]: () => client[Symbol.asyncDispose]() }
  } catch (error) {
    await client[Symbol.asyncDispose]()
    throw error
  }
}

/** Of a view all tables that it reads are locked, too: where the role, or the view's owner, may read whole tables, not only columns. */
async function beginLocked(client: Client, { kind, schema }: Table): Promise<void> {
  const lock = `LOCK TABLE ${tableSql(schema.name)} IN ACCESS SHARE MODE`
  try {
    await client.begin('snapshot', ['r', 'p', 'v'].includes(kind) ? lock : '')
  } catch (error) {
    if (kind !== 'v' || !isMissingRight(error)) throw error
    await client.rollback()
    await client.begin('snapshot')
  }
}

function relationOf({ table }: Source, selection: Selection): Relation {
  const { schema } = table
  const filter = selection.where === null ? null : bindFilter(selection.where, schema)
  return {
    from: tableSql(schema.name),
    where: filter === null ? null : filterSql(filter, postgresDialect),
    fields: schema.fields,
    key: schema.key.map((name) => fieldNamed(schema, name)),
    indexed: hasDeclaredKey(table),
    loose: table.loose,
  }
}

/** Whether a unique index stands for the key. */
function hasDeclaredKey({ schema, declaredKey, inherited }: Table): boolean {
  return !inherited && schema.key.join('\0') === declaredKey.join('\0')
}

/** On the connection's own session, so that looking up costs no login. */
function openLookup(source: Source, client: Client): Lookup {
  const { schema } = source.table
  const names = schema.fields.map((field) => field.name)
  const lookUp = (key: readonly string[], values: readonly Row[], fields: readonly string[]) => {
    const relation = {
      ...relationOf(source, { fields, where: null }),
      key: key.map((name) => fieldNamed(schema, name)),
    }
    return fetchRows(client, relation, values, fields)
  }
  return {
    fetch: (keys, fields = names) => lookUp(schema.key, keys, fields),
    find: async (fields, values) => [...(await lookUp(fields, values, names)).rows],
  }
}

/** A key that no index keeps unique is checked: two rows under one key would overwrite each other at the target. */
async function refuseDuplicates(client: Client, relation: Relation, table: Table): Promise<void> {
  if (table.schema.key.length === 0 || hasDeclaredKey(table)) return
  const [row] = await client.query(
    `SELECT 1 FROM ${clause(relation, [])} GROUP BY ${groupingSql(table.schema.key, table.loose)} HAVING count(*) > 1 LIMIT 1`,
  )
  if (row === undefined) return
  throw new SyncError(
    'KEY_DUPLICATE',
    `several rows of ${table.schema.name} have the same (${table.schema.key.join(', ')})`,
    {
      hint: table.inherited
        ? 'A table that inherits from it may repeat its keys: choose a `key` that identifies a row, or sync the tables by a view of each (SELECT … FROM ONLY …).'
        : 'Choose a `key` that identifies a row.',
    },
  )
}
