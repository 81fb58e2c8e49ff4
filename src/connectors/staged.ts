/**
 * Collections of systems that can only list their rows: the list goes into a temporary SQLite file, which can do what a comparison needs
 * (rows in key order, counts, ranges), however many rows there are.
 */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromFunction } from '../core/convert.ts'
import { SyncError } from '../core/error.ts'
import { didYouMean } from '../core/name.ts'
import { orAborted } from '../core/or-aborted.ts'
import type { Schema } from '../core/schema.ts'
import type { Rejection } from '../core/sync.ts'
import type { Row, Value } from '../core/value.ts'
import type { Chunk, Collection, Connection, Page, Sink, TargetSpec, View } from './connector.ts'
import type { Handle, HandlerContext, HandlerRow, SyncDefinition } from './handlers.ts'

/** Rows per transaction of the temporary file. */
const BATCH_ROWS = 5000
const REASON = 'the system lists its rows, and can’t say which of them changed'

/** The syncs of a connector as collections. */
export function openSyncs<Config>(
  syncs: ReadonlyMap<string, SyncDefinition<Config>>,
  handle: Handle<Config>,
  context: HandlerContext,
): Connection {
  let folder: string | null = null
  let files = 0
  const newFile = async () => {
    folder ??= await makeFolder(context.clock.now())
    return join(folder, `${files++}.db`)
  }
  const collections: AsyncDisposable[] = []
  return {
    discover: async () => [...syncs].map(([name, sync]) => schemaOf(name, sync)),
    collection: async (name) => {
      const sync = syncs.get(name)
      if (sync !== undefined) {
        const list = () =>
          pagesOf(`the run function of sync "${name}" of ${handle.id}`, () => sync.run(handle, context))
        const collection = stagedCollection(schemaOf(name, sync), list, newFile, context)
        collections.push(collection)
        return collection
      }
      throw new SyncError('COLLECTION_UNKNOWN', `there is no sync "${name}"${didYouMean(name, [...syncs.keys()])}`)
    },
    [Symbol.asyncDispose]: async () => {
      for (const collection of collections.splice(0)) await collection[Symbol.asyncDispose]()
      if (folder !== null) await rm(folder, { recursive: true, force: true })
    },
  }
}

const PREFIX = 'syncline-rows-'
const A_DAY_MS = 86_400_000
let swept = false

/** For this user only. What killed processes left behind a day ago goes: it holds rows. */
async function makeFolder(nowMs: number): Promise<string> {
  if (!swept) {
    swept = true
    for (const name of await readdir(tmpdir())) if (name.startsWith(PREFIX)) await sweep(join(tmpdir(), name), nowMs)
  }
  return await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`))
}

async function sweep(folder: string, nowMs: number): Promise<void> {
  const found = await stat(folder).catch(() => null)
  if (found === null || !found.isDirectory() || nowMs - found.mtimeMs < A_DAY_MS || isAlive(folder)) return
  // Another user's is left to that user.
  await rm(folder, { recursive: true, force: true }).catch(() => {})
}

function isAlive(folder: string): boolean {
  try {
    return process.kill(Number(/-(\d+)-[^-]*$/.exec(folder)?.[1]), 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** What the rows of a sync hold. */
export function schemaOf<Config>(name: string, { fields, key }: SyncDefinition<Config>): Schema {
  const types = Object.entries(fields ?? ({ id: 'text', data: 'json' } as const))
  const keys = key ?? ['id']
  for (const field of keys)
    if (!types.some(([known]) => known === field))
      throw new SyncError('CONFIG_INVALID', `sync "${name}": its key field "${field}" is not among its fields`)
  return {
    name,
    system: 'handler',
    fields: types.map(([field, type]) => ({
      name: field,
      type,
      native: '',
      nullable: !keys.includes(field),
      writable: false,
    })),
    key: keys,
  }
}

interface Staged {
  readonly collection: Collection
  /** Rows that are not as the schema says: met once, with the first rows. */
  readonly rejects: Rejection[]
  /** Closes the file; who is in the middle of it keeps it until then. */
  close(): Promise<void>
}

function stagedCollection(
  schema: Schema,
  list: () => AsyncGenerator<readonly HandlerRow[]>,
  newFile: () => Promise<string>,
  context: HandlerContext,
): Collection & AsyncDisposable {
  let latest: Promise<Staged> | null = null
  const close = async () => {
    const staged = await latest?.catch(() => null)
    latest = null
    await staged?.close()
  }
  const again = async () => {
    await close()
    latest = newFile().then((file) => stage(schema, list, file, context))
    return await latest
  }
  return {
    schema,
    feed: 'none',
    feedReason: REASON,
    read: async function* (_cursor, options) {
      const { collection, rejects } = await again()
      for await (const page of collection.read(null, options)) yield withRejects(page, rejects.splice(0))
    },
    view: async (selection) => {
      const { collection, rejects } = await again()
      if (collection.view === undefined) throw new SyncError('INTERNAL', 'a temporary file that can’t show its rows')
      return viewWith(await collection.view(selection), rejects)
    },
    [Symbol.asyncDispose]: close,
    lookup: {
      fetch: async (keys, fields) => await (await (latest ?? again())).collection.lookup.fetch(keys, fields),
      find: async (fields, values) => await (await (latest ?? again())).collection.lookup.find(fields, values),
    },
  }
}

function withRejects(page: Page, rejects: readonly Rejection[]): Page {
  const { view, ...rest } = page
  return { ...rest, rejects: [...page.rejects, ...rejects], ...(view === undefined ? {} : { view }) }
}

function viewWith(view: View, rejects: Rejection[]): View {
  return {
    cursor: null,
    count: () => view.count(),
    extent: () => view.extent(),
    summarize: (bounds) => view.summarize(bounds),
    scan: async function* (ranges, fields): AsyncIterable<Chunk> {
      if (rejects.length > 0) yield { rows: [], rejects: rejects.splice(0), bytes: 0 }
      yield* view.scan(ranges, fields)
    },
    fetch: (keys, fields) => view.fetch(keys, fields),
    [Symbol.asyncDispose]: () => view[Symbol.asyncDispose](),
  }
}

/** Lists the rows into a file of their own. */
async function stage(
  schema: Schema,
  list: () => AsyncGenerator<readonly HandlerRow[]>,
  file: string,
  context: HandlerContext,
): Promise<Staged> {
  const { openSqlite } = await import('./sqlite/connection.ts')
  const connection = await openSqlite({ file, track: 'none', busyTimeoutMs: 5000 }, context)
  const close = async () => {
    await connection[Symbol.asyncDispose]()
    await rm(file, { force: true })
  }
  try {
    return { ...(await fill(connection, schema, list, context)), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function fill(
  connection: Connection,
  schema: Schema,
  list: () => AsyncGenerator<readonly HandlerRow[]>,
  context: HandlerContext,
): Promise<Omit<Staged, 'close'>> {
  if (connection.sink === undefined) throw new SyncError('INTERNAL', 'SQLite can’t be written')
  const rejects: Rejection[] = []
  {
    await using sink = await connection.sink(['stage'])
    const spec: TargetSpec = {
      sync: 'stage',
      project: 'stage',
      collection: 'rows',
      schema,
      adopt: false,
      deletes: 'propagate',
    }
    await sink.claim(spec, [{ kind: 'create', schema }], null)
    for await (const page of untilAborted(list(), context.signal)) {
      const mapped = page.flatMap((row) => toRow(schema, row, rejects))
      for (let start = 0; start < mapped.length; start += BATCH_ROWS)
        await put(sink, mapped.slice(start, start + BATCH_ROWS), rejects)
    }
  }
  return { collection: await connection.collection('rows'), rejects }
}

/** A handler that does not heed its signal is not waited for, nor is what it gives later. */
async function* untilAborted<Item>(items: AsyncGenerator<Item>, signal: AbortSignal): AsyncGenerator<Item> {
  try {
    for (;;) {
      signal.throwIfAborted()
      const { done, value } = await orAborted(items.next(), signal)
      if (done === true) return
      yield value
    }
  } finally {
    const ended = items.return(undefined).catch(() => {})
    if (!signal.aborted) await orAborted(ended, signal).catch(() => {})
  }
}

/** HANDLER_FAILED: what the handler throws that is none of our errors, and what it gives that is no rows. */
async function* pagesOf(what: string, list: () => Promise<unknown> | unknown): AsyncGenerator<readonly HandlerRow[]> {
  try {
    const rows = await list()
    if (isAsyncIterable(rows)) for await (const page of rows) yield checkedPage(what, 'yielded', page)
    else yield checkedPage(what, 'returned', rows)
  } catch (error) {
    if (error instanceof SyncError) throw error
    throw new SyncError('HANDLER_FAILED', error instanceof Error ? error.message : String(error), {
      cause: error,
      hint: `Look at what ${what} does, and at the system it asks; the log says where it failed.`,
    })
  }
}

function isAsyncIterable(rows: unknown): rows is AsyncIterable<unknown> {
  return typeof rows === 'object' && rows !== null && Symbol.asyncIterator in rows
}

/** Written in plain JavaScript, a function may give anything. */
function checkedPage(what: string, gave: 'returned' | 'yielded', page: unknown): readonly HandlerRow[] {
  const wrong = (given: string) =>
    new SyncError('HANDLER_FAILED', `${what} ${gave} ${given}`, {
      hint: 'It must return an array of rows, or yield such arrays (async function*); a row is an object of fields: [{ id: 1, name: "Ada" }].',
    })
  if (!Array.isArray(page)) throw wrong(`${kindOf(page)} where an array of rows should be`)
  const at = page.findIndex((row) => !isRow(row))
  if (at >= 0) throw wrong(`${kindOf(page[at])} in the place of row ${at + 1}`)
  return page.filter(isRow)
}

function isRow(row: unknown): row is HandlerRow {
  return typeof row === 'object' && row !== null && !Array.isArray(row)
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

async function put(sink: Sink, rows: readonly Row[], rejects: Rejection[]): Promise<void> {
  const transaction = await sink.begin()
  try {
    const { rejected } = await transaction.put('stage', rows, { fresh: false })
    rejects.push(...rejected)
    await transaction.commit({ durable: false })
  } catch (error) {
    await transaction.rollback().catch(() => {})
    throw error
  }
}

/** The handler's row by the schema; one that does not fit is rejected, and the others go on. */
function toRow({ fields, key }: Schema, row: HandlerRow, rejects: Rejection[]): readonly Row[] {
  const whole = fields.length === 2 && fields[1]?.name === 'data' && !Object.hasOwn(row, 'data')
  const given = (name: string) => (whole && name === 'data' ? row : row[name])
  try {
    const values = fields.map(({ name, type }): Value => fromFunction(type, given(name) ?? null, 'the handler'))
    const missing = key.filter((name) => values[fields.findIndex((field) => field.name === name)] === null)
    if (missing.length > 0) throw new SyncError('KEY_MISSING', `a row without ${missing.join(', ')}`)
    return [values]
  } catch (error) {
    const known = error instanceof SyncError ? error : new SyncError('VALUE_REFUSED', String(error))
    const id = key.map(
      (name): Value => (typeof row[name] === 'string' || typeof row[name] === 'number' ? row[name] : null),
    )
    rejects.push({ key: id, code: known.code, message: known.message })
    return []
  }
}
