/**
 * Open handles of a connection's file, kept between uses: opening one reads the whole schema. Measured with 200 tables of three rows,
 * each synced every second by the service: 30 runs a second with a handle per use; with these the 200 that were due, at 80 % of a core.
 */
import { statSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import type { SqliteConfig } from './config.ts'
import { openDatabase, registerProbe } from './database.ts'
import { attempt } from './errors.ts'

interface Options {
  readonly readOnly: boolean
  readonly create: boolean
}

interface Idle {
  readonly database: DatabaseSync
  readonly readOnly: boolean
  readonly file: string
}

/** A handle that somebody uses. Disposing it ends its transaction, and keeps it for the next. */
export interface Lent extends Disposable {
  readonly database: DatabaseSync
}

/** By config: each connection has its own. Without an entry every handle is closed after its use. */
const pools = new WeakMap<SqliteConfig, Idle[]>()

/** Keeps handles for this config until the returned function closes them. */
export function keepHandles(config: SqliteConfig): () => void {
  pools.set(config, [])
  return () => {
    dropHandles(config)
    pools.delete(config)
  }
}

/** Closes those that nobody uses: whoever wants the file alone does not want them in the way. */
export function dropHandles(config: SqliteConfig): void {
  for (const { database } of pools.get(config)?.splice(0) ?? []) database.close()
}

export function lend(config: SqliteConfig, options: Options): Lent {
  const database = idleHandle(config, options) ?? openDatabase(config, options)
  return {
    database,
    [Symbol.dispose]: () => {
      if (!database.isOpen) return
      const pool = pools.get(config)
      const file = fileOf(config)
      if (pool === undefined || file === null || !endsTransaction(database) || !isIdle(database))
        return database.close()
      pool.push({ database, readOnly: options.readOnly, file })
    },
  }
}

/** For what goes on using a handle, and gives it back when it is disposed. Where it can't be made, the handle is given back at once. */
export function lendOn<Made>(config: SqliteConfig, options: Options, make: (lent: Lent) => Made): Made {
  const lent = lend(config, options)
  try {
    return make(lent)
  } catch (error) {
    lent[Symbol.dispose]()
    throw error
  }
}

/** Runs `work` with a handle; an error of SQLite becomes ours. */
export function withHandle<Result>(
  config: SqliteConfig,
  options: Options,
  work: (database: DatabaseSync) => Result,
): Result {
  using lent = lend(config, options)
  return attempt(config.file, () => work(lent.database))
}

function idleHandle(config: SqliteConfig, { readOnly }: Options): DatabaseSync | null {
  const pool = pools.get(config)
  const at = pool?.findIndex((idle) => idle.readOnly === readOnly) ?? -1
  const [idle] = at < 0 ? [] : (pool?.splice(at, 1) ?? [])
  if (idle === undefined) return null
  // Somebody may have put another file in its place.
  if (idle.file === fileOf(config)) return idle.database
  idle.database.close()
  dropHandles(config)
  return null
}

/** Whether no statement is in the middle of its rows: it would go on seeing the file as it was. SQLite tells by refusing to replace a function. */
function isIdle(database: DatabaseSync): boolean {
  try {
    registerProbe(database)
    return true
  } catch {
    return false
  }
}

function endsTransaction(database: DatabaseSync): boolean {
  try {
    if (database.isTransaction) database.exec('ROLLBACK')
  } catch {
    // It is closed then, which ends it, too.
  }
  return !database.isTransaction
}

/** Which file it is, whatever its name; null: none. */
function fileOf({ file }: SqliteConfig): string | null {
  const stat = statSync(file, { throwIfNoEntry: false })
  return stat === undefined ? null : `${stat.dev}:${stat.ino}`
}
