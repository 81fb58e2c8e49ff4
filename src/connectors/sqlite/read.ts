/** A table or view of a SQLite file as a collection. */
import type { DatabaseSync } from 'node:sqlite'
import { z } from 'zod'
import { SyncError } from '../../core/error.ts'
import { bindFilter } from '../../core/filter.ts'
import { keyText } from '../../core/key-text.ts'
import { type Field, fieldNamed, refuseChanged, type Schema, withKey } from '../../core/schema.ts'
import type { Row, Type } from '../../core/value.ts'
import type {
  Chunk,
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
import { describeTable, hasRowids, isRowidKey, requireTable, tableKind } from './catalog.ts'
import type { SqliteConfig } from './config.ts'
import { keyReader, type Relation } from './decode.ts'
import { dependentsOf } from './dependents.ts'
import { attempt, attemptEach } from './errors.ts'
import { sqliteDialect } from './filter.ts'
import { lend, lendOn, withHandle } from './handles.ts'
import { limits } from './limits.ts'
import { rehearse } from './rehearsal.ts'
import { storedKeys } from './spelling.ts'
import {
  changedKeys,
  deletedSince,
  installTriggers,
  lastNumber,
  schemaNumber,
  tableOf,
  triggersStand,
  untrackable,
} from './track.ts'
import { asDeclared, type Bindable, toStorage } from './types.ts'
import { breathe, clause, fetchRows, openView, refusingTwins, rowidPages, rowsOf } from './view.ts'
import { fencesOf, openWriter } from './writer.ts'

/** How changes past a cursor are found. */
type Following =
  | { readonly kind: 'triggers' }
  | { readonly kind: 'field'; readonly field: string }
  | { readonly kind: 'none' }

/**
 * `copy`: the last rowid that was copied; empty where a copy has to begin anew. `seq` / `low`: where following goes on.
 * `schema`: the file's schema then.
 */
const cursorShape = z.strictObject({
  v: z.literal(1),
  copy: z.string().optional(),
  seq: z.number().optional(),
  schema: z.number().optional(),
  low: z.union([z.string(), z.number(), z.null()]).optional(),
})
type Position = z.infer<typeof cursorShape>

export function openCollection(
  config: SqliteConfig,
  context: Context,
  name: string,
  options: CollectionOptions,
): Collection {
  const { schema, table, rowids, kind } = withHandle(config, toRead, (reader) => {
    const found = withTypes(requireTable(reader, name), options.types ?? new Map())
    const table = tableOf(found)
    const schema = withKey(found, options.key ?? null)
    return { schema, table, rowids: hasRowids(reader, table), kind: tableKind(reader, table) }
  })
  const following = chooseFollowing(config, schema, options.cursor ?? null, kind)
  return {
    schema,
    feed: following.kind === 'none' ? 'none' : following.kind === 'triggers' ? 'complete' : 'puts',
    feedReason: following.kind === 'none' ? following.reason : null,
    read: (cursor, readOptions) =>
      attemptEach(config.file, () => read({ config, schema, following, rowids }, cursor, readOptions)),
    lookup: openLookup(config, schema),
    ...(kind === 'table'
      ? {
          writer: async (spec) => openWriter(config, context, schema, spec),
          fences: (name) => fencesOf(config, context, schema, name),
          dependents: async (keys, keeps) =>
            withHandle(config, toRead, (reader) => {
              const stored = storedKeys(reader, relationOf(reader, { config, schema }, { fields: [], where: null }))
              return dependentsOf(reader, schema, keys, keeps, (key) => [
                ...(stored(key)[0] ??
                  schema.key.map((part, at) => toStorage(fieldNamed(schema, part), key[at] ?? null, true))),
              ])
            }),
          rehearse: async (writes) =>
            refusedWrites(schema, writes, async (spec, rows) =>
              withHandle(config, toRead, (reader) => rehearse(reader, spec, rows)),
            ),
        }
      : {}),
    view: async (selection) => attempt(config.file, () => viewNow(config, schema, following, selection)),
    columns: async () => {
      const mark = withHandle(config, toRead, (database) => String(schemaNumber(database)))
      return { marks: Object.fromEntries(schema.fields.map((field) => [field.name, mark])), exact: false }
    },
    prepare: async () => {
      if (following.kind === 'triggers') prepareTriggers(config, schema)
    },
    estimate: async () =>
      withHandle(config, toRead, (database) =>
        Number(database.prepare(`SELECT count(*) AS rows FROM ${quote(table)}`).get()?.rows),
      ),
  }
}

const toRead = { readOnly: true, create: false }

interface Source {
  readonly config: SqliteConfig
  readonly schema: Schema
  readonly following: Following
  readonly rowids: boolean
}

function chooseFollowing(
  config: SqliteConfig,
  schema: Schema,
  cursor: string | null,
  kind: 'table' | 'view' | null,
): Following & { reason: string } {
  if (cursor !== null) {
    const field = fieldNamed(schema, cursor)
    if (['integer', 'text', 'timestamp', 'instant', 'date', 'float'].includes(field.type))
      return { kind: 'field', field: cursor, reason: '' }
    throw new SyncError(
      'CURSOR_UNUSABLE',
      `field ${cursor} of ${schema.name} is ${field.type}, which can't be a cursor`,
      {
        hint: 'Choose a number or a time that grows with every change, or leave `cursor` out.',
      },
    )
  }
  if (config.track !== 'triggers')
    return { kind: 'none', reason: "the connection has no `track: 'triggers'` and the sync no `cursor`" }
  const obstacle = untrackable(schema, kind)
  return obstacle === null
    ? { kind: 'triggers', reason: '' }
    : { kind: 'none', reason: `triggers can't track ${schema.name}: ${obstacle}` }
}

async function* read(source: Source, cursor: Cursor | null, options: ReadOptions): AsyncIterable<Page> {
  const { config, schema, following } = source
  const looks = options.readOnly === true
  const stood =
    following.kind !== 'triggers' || (looks ? viewTriggers(config, schema) : prepareTriggers(config, schema))
  const from = cursor === null ? null : parsePosition(schema, cursor)
  if (from !== null && (!stood || (following.kind === 'triggers' && from.seq === undefined)))
    throw unusable(schema, 'its triggers did not stand all the time')
  using lent = lend(config, toRead)
  const { database } = lent
  beginSnapshot(database, schema)
  const relation = relationOf(database, source, options)
  refuseDuplicates(database, relation, schema)
  const here: Position = stood || !looks ? positionNow(database, relation, following) : { v: 1 }
  if (from?.seq !== undefined && here.seq !== undefined && from.seq > here.seq)
    throw unusable(schema, 'the file is older than the cursor (restored from a backup?)')
  if (from !== null && from.schema !== here.schema) throw unusable(schema, 'the schema of the file changed')
  if (from === null || from.copy !== undefined) yield* copyPages(database, source, relation, from ?? here, options)
  if (from !== null) yield* changedPages(database, source, relation, from, options)
  const view = openView(database, relation, { cursor: JSON.stringify(here), dispose: () => {} })
  yield { puts: [], deletes: [], rejects: [], cursor: JSON.stringify(here), bytes: 0, distinct: false, view }
}

/** Every row from the last copied rowid on. Changes made meanwhile are not lost: following starts where the copy began. */
async function* copyPages(
  database: DatabaseSync,
  source: Source,
  relation: Relation,
  start: Position,
  options: ReadOptions,
): AsyncIterable<Page> {
  const distinct = start.copy === undefined
  const names = options.fields
  const single = refusingTwins(database, relation, names)
  const page = (given: Chunk, position: Position, again = false): Page => {
    const { rows, rejects, bytes } = single(given)
    return { puts: rows, deletes: [], rejects, cursor: JSON.stringify(position), bytes, distinct: distinct && !again }
  }
  if (source.rowids) {
    const after = start.copy === undefined || start.copy === '' ? null : BigInt(start.copy)
    for await (const chunk of rowidPages(database, relation, names)({ conditions: [], values: [], after }))
      yield page(chunk, { ...start, copy: String(chunk.last) })
    return
  }
  // A view or a WITHOUT ROWID table is copied in one go.
  for await (const chunk of rowsOf(database, relation, { conditions: [], values: [] }, names))
    yield page(chunk, { ...start, copy: '' }, chunk.again)
}

async function* changedPages(
  database: DatabaseSync,
  source: Source,
  relation: Relation,
  from: Position,
  options: ReadOptions,
): AsyncIterable<Page> {
  const { schema, following } = source
  const cursor = JSON.stringify(from)
  if (following.kind === 'triggers') {
    const keyOf = keyReader(relation, options.fields)
    const deletedOf = deletedSince(database, schema, from.seq ?? 0)
    for (const changed of changedKeys(database, schema, from.seq ?? 0)) {
      // NULL, or bytes where JSON holds none: which row it is can't be told, and its refusal has to be counted.
      if (changed.some(({ key }) => key.includes(null)))
        throw unusable(schema, 'a row with a key that is no key was written')
      const keys = [...new Map(changed.map(({ key }) => [keyText(key), key])).values()]
      const { rows, rejects, bytes } = fetchRows(database, relation, keys, options.fields)
      const found = new Set([...rows.map(keyOf), ...rejects.map(({ key }) => key)].map(keyText))
      const deletes = keys.filter((key) => !found.has(keyText(key)))
      const replaced = deletedOf(changed.filter(({ key }) => found.has(keyText(key)))).map(({ key }) => key)
      yield { puts: rows, deletes, replaced, rejects, cursor, bytes, distinct: false }
    }
  }
  if (following.kind === 'field') {
    const field = fieldNamed(schema, following.field)
    const column = quote(field.name)
    const [condition, values]: [string, Bindable[]] =
      from.low === null || from.low === undefined
        ? ['(1 = 1)', []]
        : [
            `(${column} >= ? OR ${column} IS NULL OR NOT ${regularSql(field)})`,
            [field.type === 'integer' ? BigInt(from.low) : toStorage(field, from.low, false)],
          ]
    const query = { conditions: [condition], values, order: column }
    const single = refusingTwins(database, relation, options.fields)
    for await (const given of rowsOf(database, relation, query, options.fields)) {
      const chunk = single(given)
      yield { puts: chunk.rows, deletes: [], rejects: chunk.rejects, cursor, bytes: chunk.bytes, distinct: false }
    }
  }
}

/** Installs missing triggers; returns whether they stood already, that is, whether no change went unseen. */
function prepareTriggers(config: SqliteConfig, schema: Schema): boolean {
  return withHandle(config, { readOnly: false, create: false }, (writer) => {
    if (triggersStand(writer, schema)) return true
    installTriggers(writer, schema)
    return false
  })
}

function positionNow(database: DatabaseSync, relation: Relation, following: Following): Position {
  switch (following.kind) {
    case 'triggers':
      return { v: 1, seq: lastNumber(database), schema: schemaNumber(database) }
    case 'field': {
      const field = fieldNamed(relation, following.field)
      // An integer as text: beyond 2^53 a number would be rounded, perhaps up.
      const value = field.type === 'integer' ? `CAST(max(${quote(field.name)}) AS TEXT)` : `max(${quote(field.name)})`
      const row = database.prepare(`SELECT ${value} AS low FROM ${relation.from} WHERE ${regularSql(field)}`).get()
      const low = typeof row?.low === 'string' || typeof row?.low === 'number' ? row.low : null
      return { v: 1, low, schema: schemaNumber(database) }
    }
    case 'none':
      return { v: 1 }
  }
}

/**
 * Whether a value of a cursor field has a place in its order. Others (infinity, years beyond 9999, another storage class)
 * would stand above everything, or out of place: they are read on every run, as NULLs are.
 */
function regularSql(field: Field): string {
  const column = quote(field.name)
  switch (field.type) {
    case 'integer':
      return `(typeof(${column}) = 'integer')`
    case 'float':
      return `(typeof(${column}) IN ('integer', 'real') AND abs(${column}) < 9e999)`
    case 'date':
    case 'timestamp':
    case 'instant':
      return `(${column} GLOB '[0-9][0-9][0-9][0-9]-*' AND ${column} NOT LIKE '% BC')`
    default:
      return `(typeof(${column}) = 'text' AND ${column} NOT IN ('infinity', '-infinity'))`
  }
}

function viewNow(config: SqliteConfig, schema: Schema, following: Following, selection: Selection): View {
  const stood = following.kind !== 'triggers' || viewTriggers(config, schema)
  return lendOn(config, toRead, (lent) => {
    const { database } = lent
    beginSnapshot(database, schema)
    const relation = relationOf(database, { config, schema }, selection)
    refuseDuplicates(database, relation, schema)
    // Without triggers there is nothing to read on from, but the next run's read installs them.
    const here: Position = stood ? positionNow(database, relation, following) : { v: 1 }
    const cursor = following.kind === 'none' ? null : JSON.stringify(here)
    return openView(database, relation, { cursor, dispose: () => lent[Symbol.dispose]() })
  })
}

/** The columns must still be those that rows are decoded by. */
function beginSnapshot(database: DatabaseSync, schema: Schema): void {
  database.exec('BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1')
  const now = describeTable(database, tableOf(schema))
  const said = schema.fields.filter(({ systemType }) => systemType !== undefined)
  refuseChanged(schema, now && withTypes(now, new Map(said.map(({ name, type }) => [name, type]))))
}

function asSystem({ systemType, ...field }: Field): Field {
  return systemType === undefined ? field : { ...field, type: systemType }
}

/** Columns of somebody else's table that the config says more about than their declaration does. */
function withTypes(schema: Schema, types: ReadonlyMap<string, Type>): Schema {
  if (schema.system !== 'sqlite') return schema
  return { ...schema, fields: schema.fields.map((field) => asDeclared(field, types.get(field.name))) }
}

function viewTriggers(config: SqliteConfig, schema: Schema): boolean {
  return withHandle(config, toRead, (reader) => triggersStand(reader, schema))
}

function relationOf(database: DatabaseSync, source: Pick<Source, 'config' | 'schema'>, selection: Selection): Relation {
  const { schema } = source
  const table = tableOf(schema)
  // A filter compares what the file holds, whatever the config reads it as.
  const asStands = { ...schema, fields: schema.fields.map(asSystem) }
  const filter = selection.where === null ? null : bindFilter(selection.where, asStands)
  const said = schema.key.some((name) => fieldNamed(schema, name).systemType !== undefined)
  return {
    file: source.config.file,
    from: quote(table),
    where: filter === null ? null : filterSql(filter, sqliteDialect),
    fields: schema.fields,
    key: schema.key.map((name) => fieldNamed(schema, name)),
    system: schema.system,
    maxRowBytes: source.config.maxRowBytes ?? limits.rowBytes,
    rowids: hasRowids(database, table),
    rowidKey: !said && isRowidKey(database, table, schema.key),
  }
}

function openLookup(config: SqliteConfig, schema: Schema): Lookup {
  const names = schema.fields.map((field) => field.name)
  const lookUp = (key: readonly string[], values: readonly Row[], fields: readonly string[], twins: boolean): Chunk => {
    const fieldsOfKey = key.map((name) => fieldNamed(schema, name))
    return withHandle(config, toRead, (database) => {
      const relation = { ...relationOf(database, { config, schema }, { fields, where: null }), key: fieldsOfKey }
      return fetchRows(database, relation, values, fields, { twins })
    })
  }
  return {
    fetch: async (keys, fields = names) => {
      await breathe()
      return lookUp(schema.key, keys, fields, false)
    },
    find: async (fields, values) => [...lookUp(fields, values, names, true).rows],
  }
}

/** A key that no index keeps unique is checked: two rows under one key would overwrite each other at the target. */
function refuseDuplicates(database: DatabaseSync, relation: Relation, schema: Schema): void {
  const declared = requireTable(database, schema.name).key
  if (schema.key.length === 0 || declared.join('\0') === schema.key.join('\0')) return
  const names = relation.key.map((field) => `${quote(field.name)} COLLATE BINARY`).join(', ')
  const row = database
    .prepare(`SELECT 1 FROM ${clause(relation, [])} GROUP BY ${names} HAVING count(*) > 1 LIMIT 1`)
    .get()
  if (row === undefined) return
  throw new SyncError('KEY_DUPLICATE', `several rows of ${schema.name} have the same (${schema.key.join(', ')})`, {
    hint: 'Choose a `key` that identifies a row.',
  })
}

function parsePosition(schema: Schema, cursor: Cursor): Position {
  const parsed = cursorShape.safeParse(JSON.parse(cursor))
  if (parsed.success) return parsed.data
  throw unusable(schema, 'the cursor is of another version')
}

function unusable(schema: Schema, reason: string): SyncError {
  return new SyncError('CURSOR_UNUSABLE', `${schema.name} can't be read on from the last checkpoint: ${reason}`)
}
