/** A project's memory in a Postgres database, for any number of processes. */
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { SyncError } from '../../core/error.ts'
import { mistakenParameter } from '../../core/postgres-parameters.ts'
import type { CircuitStore } from '../circuits.ts'
import type { JobStore, ScheduleStore } from '../jobs.ts'
import type { PairStore } from '../pairs.ts'
import type { RecordStore } from '../records.ts'
import { openMemoryStore } from '../sqlite/store.ts'
import type { LeaseStore, RowsDatabase, RunStore, Store } from '../store.ts'
import { PostgresCircuitStore } from './circuits.ts'
import { Database } from './database.ts'
import { PostgresDelivery } from './delivery.ts'
import { listen } from './hints.ts'
import { PostgresJobStore } from './jobs.ts'
import { PostgresLeaseStore } from './leases.ts'
import { PostgresLimitStore } from './limits.ts'
import { migrate, migrations, schemaVersion } from './migrations.ts'
import { PostgresPairStore } from './pairs.ts'
import { PostgresRecordStore } from './records.ts'
import { PostgresRunStore } from './runs.ts'
import { PostgresScheduleStore } from './schedules.ts'
import { PostgresTopic } from './topic.ts'

export interface OpenOptions {
  /** The schema that holds the store: one per project. Default: what `?schema=` in the URL says, else `syncline`. */
  readonly schema?: string
  /** Writes nothing, not even the schema: a project without state has the id "" and no history. */
  readonly readOnly?: boolean
}

/** Opens the store at a `postgres://` URL. CONFIG_INVALID: that is none. */
export async function openPostgresStore(url: string, options: OpenOptions = {}): Promise<Store> {
  const { readOnly = false } = options
  const { server, schema } = partsOf(url, options.schema)
  const database = new Database({ url: server, schema, readOnly })
  try {
    if (!readOnly) await migrate(database, schema)
    const version = await schemaVersion(database, schema, database.place)
    if (version === migrations.length) {
      const id = await projectId(database, readOnly)
      return new PostgresStore(database, id, { url: server, schema })
    }
    if (version > 0) {
      throw new SyncError('FILE_UNUSABLE', `the store at ${database.place} was written by an older Syncline`, {
        hint: 'Run `syncline run` once: it brings the store up to date.',
      })
    }
  } catch (error) {
    await database[Symbol.asyncDispose]()
    throw error
  }
  await database[Symbol.asyncDispose]()
  return openMemoryStore()
}

class PostgresStore implements Store {
  readonly holder = `${hostname()}:${process.pid}:${randomUUID()}`
  readonly runs: RunStore
  readonly leases: LeaseStore
  readonly pairs: PairStore
  readonly jobs: JobStore
  readonly schedules: ScheduleStore
  readonly records: RecordStore
  readonly limits: PostgresLimitStore
  readonly circuits: CircuitStore
  readonly topic: PostgresTopic
  readonly delivery: PostgresDelivery
  readonly #database: Database
  readonly #projectId: string
  readonly #place: RowsDatabase

  constructor(database: Database, id: string, place: RowsDatabase) {
    this.#database = database
    this.#projectId = id
    this.#place = place
    this.runs = new PostgresRunStore(database)
    this.leases = new PostgresLeaseStore(database)
    this.pairs = new PostgresPairStore(database)
    this.delivery = new PostgresDelivery(database, place.url, place.schema)
    this.jobs = new PostgresJobStore(database, this.delivery)
    this.schedules = new PostgresScheduleStore(database, this.delivery)
    this.records = new PostgresRecordStore(database)
    this.limits = new PostgresLimitStore(database)
    this.circuits = new PostgresCircuitStore(database)
    this.topic = new PostgresTopic(database, place.url, place.schema)
  }

  async now(): Promise<number> {
    const [row] = await this.#database.query('select extract(epoch from clock_timestamp()) * 1000 as now')
    return Number(row?.now)
  }

  async projectId(): Promise<string> {
    return this.#projectId
  }

  /**
   * Keeps nobody out: on this store many processes run one project. What has to be exclusive is one sync at a time, and that is what
   * leases are for: each process has its own name, a dead one's leases expire, and a frozen one's writes are fenced off.
   */
  async lock(): Promise<AsyncDisposable> {
    return { [Symbol.asyncDispose]: async () => {} }
  }

  hints(signal: AbortSignal): AsyncIterable<unknown> {
    return listen(this.#place.url, this.#place.schema, signal)
  }

  /** In the store's own schema: whoever has the one has the other, and they are kept, restored and dropped together. */
  rowsDatabase(): RowsDatabase {
    return this.#place
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.limits[Symbol.dispose]()
    await this.delivery[Symbol.asyncDispose]()
    await this.#database[Symbol.asyncDispose]()
  }
}

async function projectId(database: Database, readOnly: boolean): Promise<string> {
  if (!readOnly) await database.execute('insert into project (id) values ($1) on conflict do nothing', [randomUUID()])
  const [row] = await database.query('select id from project')
  return row === undefined ? '' : String(row.id)
}

const DEFAULT_SCHEMA = 'syncline'

function partsOf(url: string, given: string | undefined): { readonly server: string; readonly schema: string } {
  if (!URL.canParse(url) || !/^postgres(ql)?:$/.test(new URL(url).protocol)) {
    throw new SyncError(
      'CONFIG_INVALID',
      'the Postgres store needs a URL of the form postgres://user:password@host:port/database',
    )
  }
  const server = new URL(url)
  const schema = given ?? server.searchParams.get('schema') ?? DEFAULT_SCHEMA
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    throw new SyncError('CONFIG_INVALID', `"${schema.slice(0, 70)}" can't be the schema of a store`, {
      hint: 'Use lower-case letters, digits and _, at most 63.',
    })
  }
  server.searchParams.delete('schema')
  const mistake = mistakenParameter(server.searchParams)
  if (mistake !== null) throw new SyncError('CONFIG_INVALID', `the URL of the store ${mistake}`)
  return { server: server.href, schema }
}
