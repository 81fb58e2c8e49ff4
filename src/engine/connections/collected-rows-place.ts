/**
 * Where the rows are that syncs of connections gather: a file each beside an embedded store, a table each in the database of a shared one.
 * Whoever writes and reads them sees a connection with one collection, by the engine's own name for it.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Connection, Context, Sink } from '../../connectors/connector.ts'
import { postgres } from '../../connectors/postgres/index.ts'
import { sqlite } from '../../connectors/sqlite/index.ts'
import { formatName } from '../../core/name.ts'
import { makePrivateFile, makePrivateFolder } from '../../store/private-files.ts'
import type { RowsDatabase, Store } from '../../store/store.ts'
import { Gate } from '../calls/semaphore.ts'

export interface RowsPlace {
  open(collection: string, context: Context): Promise<Connection>
  /** False: nobody has gathered any rows of it here. Looks at no server. */
  mayHold(collection: string): boolean
  /** Who reads for somebody enters first: pages are short, an export is as long as its reader takes. */
  readonly readers: { readonly pages: Gate; readonly exports: Gate }
}

/** `folder`: for rows that are files. */
export function rowsPlace(store: Pick<Store, 'rowsDatabase'>, folder: string): RowsPlace {
  const database = store.rowsDatabase?.()
  return database === undefined ? inFolder(folder) : inDatabase(database)
}

const WAIT_MS = 10_000
/** Each takes two connections of the store's server, which the engine itself needs. */
const READERS = 4

function inFolder(folder: string): RowsPlace {
  const fileOf = (collection: string) => join(folder, `${encodeURIComponent(collection)}.db`)
  return {
    open: async (collection, context) => {
      makePrivateFolder(folder)
      makePrivateFile(fileOf(collection))
      return await sqlite.open({ file: fileOf(collection), track: 'none', busyTimeoutMs: WAIT_MS }, context)
    },
    mayHold: (collection) => existsSync(fileOf(collection)),
    readers: readers(Number.POSITIVE_INFINITY),
  }
}

function inDatabase({ url, schema }: RowsDatabase): RowsPlace {
  const config = { url: within(url, schema), connectTimeoutMs: WAIT_MS }
  return {
    open: async (collection, context) =>
      called(collection, tableOf(collection, schema), await postgres.open(config, context)),
    mayHold: () => true,
    readers: readers(READERS),
  }
}

function readers(most: number): RowsPlace['readers'] {
  return { pages: new Gate(most), exports: new Gate(most) }
}

/** What a target remembers of its tables goes into the session's schema: the store's, which the role may write to. */
function within(url: string, schema: string): string {
  const server = new URL(url)
  const options = server.searchParams.get('options') ?? ''
  server.searchParams.set('options', `${options} -c search_path=${schema}`.trim())
  return server.href
}

const HASH_DIGITS = 26
const READABLE = 16

/**
 * Ids of connections and syncs are any text, and Postgres cuts names at 63 bytes: so the hash names it, and what stands before it is for
 * people. Of the schema, too: under another name it begins anew, as what a target remembers of its tables goes by their full names.
 */
function tableOf(collection: string, schema: string): string {
  const hash = createHash('sha256').update(`${schema}/${collection}`).digest('hex').slice(0, HASH_DIGITS)
  const readable = collection
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '_')
    .slice(0, READABLE)
  return formatName([schema, `rows_${readable}_${hash}`])
}

/** The connection as one whose only collection has `name`; it is `there` in the system. */
function called(name: string, there: string, connection: Connection): Connection {
  const at = <Spec extends { readonly collection: string }>(spec: Spec): Spec => ({ ...spec, collection: there })
  const sinkOf = (sink: Sink): Sink => ({
    ...sink,
    inspect: (spec) => sink.inspect(at(spec)),
    claim: (spec, changes, held) => sink.claim(at(spec), changes, held),
    view: (spec, rows) => sink.view(at(spec), rows),
    rejections: (spec) => sink.rejections(at(spec)),
    reset: (spec, drop) => sink.reset(at(spec), drop),
  })
  const { sink } = connection
  return {
    discover: async () =>
      (await connection.discover()).filter((schema) => schema.name === there).map((schema) => ({ ...schema, name })),
    collection: (_name, options) => connection.collection(there, options),
    ...(sink === undefined ? {} : { sink: async (syncs) => sinkOf(await sink(syncs)) }),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  }
}
