/** A real database on either side of a sync, the sync's runs in this process, and sessions of other people. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import type { Connection, Context, Page } from '../../src/connectors/connector.ts'
import { postgres } from '../../src/connectors/postgres/index.ts'
import { sqlite } from '../../src/connectors/sqlite/index.ts'
import type { RunRecord } from '../../src/core/run.ts'
import { defaults, type Sync } from '../../src/core/sync.ts'
import type { Verification } from '../../src/core/verification.ts'
import { verifySync } from '../../src/engine/one-way/verify.ts'
import type { Project } from '../../src/engine/project.ts'
import { runSync } from '../../src/engine/runs/run-sync.ts'
import { openSqliteStore } from '../../src/store/sqlite/store.ts'
import { createDatabase, temporaryFolder } from '../../tools/database.ts'

/** One person's session: what it has begun, it alone commits. Values come as text; booleans, too. */
export type Session = (sql: string) => Promise<(string | null)[][]>

export interface Database extends AsyncDisposable {
  /** A session that stands for everybody who is in no transaction. */
  readonly sql: Session
  session(): Promise<Session>
  connect(context: Context): Promise<Connection>
}

export interface PostgresDatabase extends Database {
  readonly url: string
  /** Further runs connect as this role, made without any rights. */
  connectAs(role: string): Promise<void>
  /** Further runs connect by this URL: through a pooler, say. */
  connectBy(url: string): void
}

export async function postgresDatabase(encoding?: string, maxRowBytes?: number): Promise<PostgresDatabase> {
  return postgresAt(await createDatabase(encoding), maxRowBytes)
}

/** A database that is there already. */
export async function postgresAt(
  database: AsyncDisposable & { readonly url: string },
  maxRowBytes?: number,
): Promise<PostgresDatabase> {
  const clients: pg.Client[] = []
  const roles: string[] = []
  let url = database.url
  const session = async (): Promise<Session> => {
    const client = new pg.Client({ connectionString: database.url })
    // A test may have the server end it.
    client.on('error', () => {})
    await client.connect()
    clients.push(client)
    return async (sql) => {
      const result = await client.query({
        text: sql,
        rowMode: 'array',
        types: { getTypeParser: () => (text: string) => text },
      })
      return (Array.isArray(result) ? result.at(-1) : result).rows
    }
  }
  const sql = await session()
  return {
    url,
    sql,
    session,
    connect: (context) => postgres.open(postgres.config.parse({ url, maxRowBytes }), context),
    connectAs: async (role) => {
      await sql(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`)
      roles.push(role)
      const as = new URL(database.url)
      as.username = role
      as.password = 'secret'
      url = as.href
    },
    connectBy: (other) => {
      url = other
    },
    [Symbol.asyncDispose]: async () => {
      for (const role of roles) await sql(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
      for (const client of clients) await client.end()
      await database[Symbol.asyncDispose]()
    },
  }
}

export async function sqliteDatabase(track: 'none' | 'triggers' = 'none', maxRowBytes?: number): Promise<Database> {
  const folder = await temporaryFolder()
  const file = join(folder.path, 'data.db')
  const session = async (): Promise<Session> => async (sql) => {
    const database = new DatabaseSync(file)
    try {
      if (!/^\s*(SELECT|PRAGMA)/i.test(sql)) {
        database.exec(sql)
        return []
      }
      const statement = database.prepare(sql)
      statement.setReadBigInts(true)
      statement.setReturnArrays(true)
      const rows = statement.all() as unknown as unknown[][]
      return rows.map((row) =>
        row.map((value) =>
          value === null ? null : value instanceof Uint8Array ? Buffer.from(value).toString('hex') : String(value),
        ),
      )
    } finally {
      database.close()
    }
  }
  return {
    sql: await session(),
    session,
    connect: (context) => sqlite.open({ file, track, maxRowBytes, busyTimeoutMs: 5000 }, context),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

export interface Pair<Left extends Database = Database, Right extends Database = Database> extends AsyncDisposable {
  readonly left: Left
  readonly right: Right
  /** What the sync reads and writes, where a test says nothing else: table `t` to table `t`. */
  sync: Sync
  readonly interrupt: AbortController
  /** Called for every page that a run reads. */
  onPage: (page: Page) => void
  run(over?: Partial<Sync>): Promise<RunRecord>
  /** Runs, and fails the test if the run did not succeed. */
  mustRun(over?: Partial<Sync>): Promise<RunRecord>
  verify(): Promise<Verification>
  /** For what a test asks of the engine itself. */
  project(): Project
}

export async function openPair<Left extends Database, Right extends Database>(
  left: Left,
  right: Right,
  over: Partial<Sync> = {},
): Promise<Pair<Left, Right>> {
  const folder = await temporaryFolder()
  const store = await openSqliteStore(folder.path)
  const open = new Map<string, Connection>()
  const close = async () => {
    for (const connection of open.values()) await connection[Symbol.asyncDispose]()
    open.clear()
  }
  const pair: Pair<Left, Right> = {
    left,
    right,
    sync: { ...wholeTable, ...over },
    interrupt: new AbortController(),
    onPage: () => {},
    run: (more) => runSync({ ...pair.sync, ...more }, project()),
    mustRun: async (more) => {
      const run = await pair.run(more)
      assert.equal(run.status, 'succeeded', `${run.error?.code}: ${run.error?.message}`)
      return run
    },
    verify: () => verifySync(pair.sync, project(), { repair: false, onProgress: () => {} }),
    project: () => project(),
    [Symbol.asyncDispose]: async () => {
      await close()
      await store[Symbol.asyncDispose]()
      await left[Symbol.asyncDispose]()
      await right[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
  const project = (): Project => {
    const context: Context = {
      signal: pair.interrupt.signal,
      clock: { now: () => Date.now(), sleep: async () => {} },
      random: Math.random,
      log: () => {},
    }
    return {
      id: 'project',
      store,
      context,
      connection: async (name) => {
        const connection =
          open.get(name) ??
          watched(await (name === 'left' ? left : right).connect(context), (page) => pair.onPage(page))
        open.set(name, connection)
        return connection
      },
      reconnect: async (name) => {
        await open.get(name)?.[Symbol.asyncDispose]()
        open.delete(name)
      },
      unreachable: new Set(),
      emit: () => {},
    }
  }
  return pair
}

/** The same connection; every page passes by. */
function watched(connection: Connection, onPage: (page: Page) => void): Connection {
  return {
    ...connection,
    collection: async (name, options) => {
      const collection = await connection.collection(name, options)
      return {
        ...collection,
        read: async function* (cursor, readOptions) {
          for await (const page of collection.read(cursor, readOptions)) {
            onPage(page)
            yield page
          }
        },
      }
    },
  }
}

const wholeTable: Sync = {
  id: 't',
  from: { connection: 'left', collection: 't' },
  to: { connection: 'right', collection: 't' },
  fields: null,
  where: null,
  key: null,
  cursor: null,
  mode: 'auto',
  deletes: 'propagate',
  adopt: false,
  ...defaults,
}

export async function postgresToSqlite(over: Partial<Sync> = {}): Promise<Pair<PostgresDatabase, Database>> {
  return openPair(await postgresDatabase(), await sqliteDatabase(), over)
}

export async function postgresToPostgres(over: Partial<Sync> = {}): Promise<Pair<PostgresDatabase, PostgresDatabase>> {
  return openPair(await postgresDatabase(), await postgresDatabase(), over)
}

export async function sqliteToSqlite(track: 'none' | 'triggers', over: Partial<Sync> = {}): Promise<Pair> {
  return openPair(await sqliteDatabase(track), await sqliteDatabase(), over)
}

export async function sqliteToPostgres(
  track: 'none' | 'triggers',
  over: Partial<Sync> = {},
): Promise<Pair<Database, PostgresDatabase>> {
  return openPair(await sqliteDatabase(track), await postgresDatabase(), over)
}

/** Both sides equal by value, and a further run writes nothing. */
export async function assertEqual(pair: Pair): Promise<void> {
  const { equal, missing, extra, different } = await pair.verify()
  assert.deepEqual({ equal, missing, extra, different }, { equal: true, missing: 0, extra: 0, different: 0 })
  const { inserted, updated, deleted } = await pair.mustRun()
  assert.deepEqual({ inserted, updated, deleted }, { inserted: 0, updated: 0, deleted: 0 })
}
