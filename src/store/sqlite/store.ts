/** A project's memory in `.syncline/state.db`, beside the config. */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { SyncError } from '../../core/error.ts'
import type { JobStore, ScheduleStore } from '../jobs.ts'
import type { PairStore } from '../pairs.ts'
import { makeHome, makePrivateFile } from '../private-files.ts'
import type { RecordStore } from '../records.ts'
import type { LeaseStore, RunStore, Store } from '../store.ts'
import { attempt, isBusy, translate } from './errors.ts'
import { SqliteJobStore } from './jobs.ts'
import { SqliteLeaseStore } from './leases.ts'
import { lockHolder, takeLock } from './lock.ts'
import { migrate, migrations, schemaVersion } from './migrations.ts'
import { SqlitePairStore } from './pairs.ts'
import { SqliteRecordStore } from './records.ts'
import { interruptOthers, SqliteRunStore } from './runs.ts'
import { SqliteScheduleStore } from './schedules.ts'

/** How long a statement waits for another process's transaction. */
const BUSY_MS = 5000

export interface OpenOptions {
  /** Writes nothing, not even `.syncline`: a project without state has the id "" and no history. */
  readonly readOnly?: boolean
}

/** Opens the store of the project in `folder`. FILE_UNUSABLE: its state can't be used. */
export async function openSqliteStore(folder: string, options: OpenOptions = {}): Promise<Store> {
  const home = join(folder, '.syncline')
  const paths = { state: join(home, 'state.db'), lock: join(home, 'lock.db') }
  try {
    const database = options.readOnly === true ? openToRead(paths.state) : await openToWrite(home, paths.state)
    return new SqliteStore(database, paths.lock)
  } catch (thrown) {
    const error = translate(thrown, paths.state)
    if (error instanceof SyncError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    const hint = `Check that ${home} can be read and written. It holds the history and the project's id; a damaged one can be restored from a backup.`
    throw new SyncError('FILE_UNUSABLE', `${paths.state}: ${reason}`, { cause: error, hint })
  }
}

class SqliteStore implements Store {
  /** The lock keeps others out, so the one process that runs holds all leases under one name. */
  readonly holder = 'embedded'
  readonly runs: RunStore
  readonly leases: LeaseStore
  readonly pairs: PairStore
  readonly jobs: JobStore
  readonly schedules: ScheduleStore
  readonly records: RecordStore
  readonly #database: DatabaseSync
  readonly #lockPath: string
  /** Who holds the lock; null: nobody. */
  readonly #current: () => string | null
  readonly #token = randomUUID()
  #lock: AsyncDisposable | null = null

  constructor(database: DatabaseSync, lockPath: string) {
    this.#database = database
    this.#lockPath = lockPath
    this.#current = () => (existsSync(lockPath) ? (lockHolder(lockPath)?.token ?? null) : null)
    this.runs = new SqliteRunStore(database, { own: this.#token, current: this.#current })
    this.leases = new SqliteLeaseStore(database)
    this.pairs = new SqlitePairStore(database)
    this.jobs = new SqliteJobStore(database)
    this.schedules = new SqliteScheduleStore(database)
    this.records = new SqliteRecordStore(database)
  }

  async projectId(): Promise<string> {
    return String(attempt(this.#database, () => this.#database.prepare('select id from project').get())?.id ?? '')
  }

  worked(): boolean {
    return this.#current() !== null
  }

  async lock(): Promise<AsyncDisposable> {
    const lock = await takeLock(this.#lockPath, { pid: process.pid, token: this.#token })
    this.#lock = lock
    interruptOthers(this.#database, this.#token)
    return lock
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lock?.[Symbol.asyncDispose]()
    if (this.#database.isOpen) this.#database.close()
  }
}

async function openToWrite(home: string, path: string): Promise<DatabaseSync> {
  makeHome(home)
  makePrivateFile(path)
  const database = new DatabaseSync(path, { timeout: BUSY_MS })
  try {
    await useWal(database)
    migrate(database, path)
    // Durable at once, because target tables will remember it; a run's record may be lost with the power.
    database.prepare('insert into project (id) select ? where not exists (select 1 from project)').run(randomUUID())
    // Pairs of two-way syncs are looked up in no order: their indexes should fit.
    database.exec('pragma synchronous = normal; pragma cache_size = -24000; pragma temp.cache_size = -8000')
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** Switching to WAL does not wait for others as statements do: a process that starts at the same time may be switching. */
async function useWal(database: DatabaseSync): Promise<void> {
  const deadline = performance.now() + BUSY_MS
  for (;;) {
    try {
      database.exec('pragma journal_mode = wal')
      return
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error
      await sleep(10)
    }
  }
}

function openToRead(path: string): DatabaseSync {
  if (!existsSync(path)) return emptyState()
  const url = pathToFileURL(path)
  // Without a log nobody has the file open, and `immutable` keeps SQLite from making one.
  if (!existsSync(`${path}-wal`)) url.searchParams.set('immutable', '1')
  const database = new DatabaseSync(url, { readOnly: true, timeout: BUSY_MS })
  const version = schemaVersion(database, path)
  if (version === migrations.length) return database
  database.close()
  if (version === 0) return emptyState()
  throw new SyncError('FILE_UNUSABLE', `${path} was written by an older Syncline`, {
    hint: 'Run `syncline run` once: it brings the state up to date.',
  })
}

/** A store in memory, gone with the process: for simulations and embedders' tests. */
export function openMemoryStore(database: DatabaseSync = emptyState()): Store {
  return new SqliteStore(database, '')
}

export function emptyState(): DatabaseSync {
  const database = new DatabaseSync(':memory:')
  migrate(database, ':memory:')
  return database
}
