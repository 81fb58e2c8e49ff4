/** Opening SQLite files. */
import { existsSync, statSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { SyncError } from '../../core/error.ts'
import { order } from '../../core/filter.ts'
import { canonical, type Type, types, type Value } from '../../core/value.ts'
import type { SqliteConfig } from './config.ts'
import { attempt, isSqliteError } from './errors.ts'
import { type Bindable, fromStorage, toStorage } from './types.ts'

/** Opens the file for reading or for writing; a missing file is made only when `create` says so. */
export function openDatabase(
  config: SqliteConfig,
  options: { readonly readOnly: boolean; readonly create: boolean },
): DatabaseSync {
  if (!options.create && !existsSync(config.file)) {
    throw new SyncError('FILE_UNUSABLE', `there is no SQLite file ${config.file}`, {
      hint: 'Check the `file` of the connection; a relative path is relative to the config file.',
    })
  }
  return attempt(config.file, () => {
    const isNew = !existsSync(config.file)
    if (!isNew && !statSync(config.file).isFile()) throw noFile(config)
    const database = new DatabaseSync(config.file, { timeout: config.busyTimeoutMs })
    // Not SQLite's own read-only mode: closing that leaves the -wal and -shm files it made beside the database.
    if (options.readOnly) database.exec('PRAGMA query_only = ON')
    // Readers and the sync don't block each other in WAL mode; a file that exists keeps the mode its owner chose.
    if (isNew && !options.readOnly)
      database.exec(`PRAGMA journal_mode = WAL; PRAGMA application_id = ${APPLICATION_ID}`)
    database.exec(`PRAGMA synchronous = NORMAL; PRAGMA cache_size = ${CACHE}; PRAGMA temp_store = FILE`)
    // Integers arrive as bigints, because a number beyond 2^53 would be an error.
    const pure = { deterministic: true, useBigIntArguments: true }
    database.function('_syncline_order', pure, (type, a, b) =>
      a === null || b === null ? null : order(asType(type), a as Value, b as Value),
    )
    database.function('_syncline_canonical', pure, (type, value) => {
      if (value === null || typeof value === 'object') return value
      return asType(type) === 'integer' ? integerOf(value) : String(canonical(asType(type), String(value)))
    })
    database.function('_syncline_said', pure, (type, value) => said(asType(type), value as Bindable))
    registerProbe(database)
    return database
  })
}

/** A pipe would be waited for, and a folder or device holds no database. */
function noFile({ file }: SqliteConfig): SyncError {
  return new SyncError(
    'FILE_UNUSABLE',
    `${file} is no regular file: a folder, a pipe or a device holds no SQLite database`,
    {
      hint: 'Check the `file` of the connection.',
    },
  )
}

/** A function that does nothing: made again, it is replaced, which SQLite refuses while a statement runs. */
export function registerProbe(database: DatabaseSync): void {
  database.function('_syncline_probe', { deterministic: true }, () => null)
}

/** 8 MB, which the processor's cache can hold. Measured with count(*) of one million rows: 48 ms, with 32 MB 61 ms. */
const CACHE = -8000

/** 32 MB, so that a batch's new pages are written once, at its commit. */
const BULK_CACHE = -32000

/** Marks files that Syncline made: "Sync". */
const APPLICATION_ID = 0x53796e63

/**
 * For filling an empty table of a file that we made: a rollback journal writes new pages once, WAL twice. Measured on one
 * million rows of ten columns: 1.0 s against 1.4 s. Does nothing while somebody else has the file open.
 */
export function enterBulk(database: DatabaseSync, config: SqliteConfig): void {
  if (!isOurs(database)) return
  database.exec(`PRAGMA busy_timeout = 0; PRAGMA cache_size = ${BULK_CACHE}`)
  try {
    database.exec('PRAGMA journal_mode = TRUNCATE')
  } catch (error) {
    if (!isSqliteError(error)) throw error
  }
  database.exec(`PRAGMA busy_timeout = ${config.busyTimeoutMs}`)
}

/** Back to WAL, also after a crash in bulk mode. Readers that are in the way keep it as it is until the next time. */
export function leaveBulk(database: DatabaseSync): void {
  if (!isOurs(database) || database.prepare('PRAGMA journal_mode').get()?.journal_mode === 'wal') return
  try {
    database.exec('PRAGMA busy_timeout = 0; PRAGMA journal_mode = WAL')
  } catch (error) {
    if (!isSqliteError(error)) throw error
  }
}

function isOurs(database: DatabaseSync): boolean {
  return database.prepare('PRAGMA application_id').get()?.application_id === APPLICATION_ID
}

/** A statement that returns rows as arrays. */
export function prepareArrays(database: DatabaseSync, sql: string, bigints = false): StatementSync {
  const statement = database.prepare(sql)
  statement.setReturnArrays(true)
  if (bigints) statement.setReadBigInts(true)
  return statement
}

/** Whether this Node keeps text after a NUL character when it binds it (older ones truncate). */
export function keepsNul(database: DatabaseSync): boolean {
  const row = database.prepare('SELECT length(CAST(? AS BLOB)) AS bytes').get('a\0b')
  return row?.bytes === 3
}

/** A stored value of any class as a type, in that type's storage; null where it is none. */
function said(type: Type, stored: Bindable): Bindable {
  try {
    const field = { name: '', type, native: '', nullable: true, writable: true, systemType: type }
    const value = fromStorage(field, stored)
    return toStorage(field, value === null ? null : canonical(type, value), true)
  } catch {
    return null
  }
}

/** The integer that a stored text says; anything else as it is. */
function integerOf(stored: Exclude<Bindable, null>): Bindable {
  if (typeof stored !== 'string' || !/^-?\d+$/.test(stored)) return stored
  const integer = BigInt(stored)
  return BigInt.asIntN(64, integer) === integer ? integer : stored
}

function asType(value: unknown): Type {
  return types.find((type) => type === value) ?? 'text'
}
