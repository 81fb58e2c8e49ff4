/**
 * The project lock: an open write transaction on `.syncline/lock.db`. The operating system frees it when the process
 * dies, however it dies. A committed row tells who holds it: in rollback-journal mode others can read beside the lock.
 */
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { SyncError } from '../../core/error.ts'
import { makePrivateFile } from '../private-files.ts'
import { isBusy, translate } from './errors.ts'

/** Who holds the lock. */
export interface Holder {
  readonly pid: number
  /** Unique per opened store. */
  readonly token: string
}

/** A killed process's child may keep the file open a moment longer. */
const WAIT_MS = 2000
const RETRY_MS = 50

/** Takes the lock. PROJECT_LOCKED names the holder's pid. */
export async function takeLock(path: string, holder: Holder, waitMs = WAIT_MS): Promise<AsyncDisposable> {
  makePrivateFile(path)
  const database = new DatabaseSync(path, { timeout: 0 })
  const deadline = performance.now() + waitMs
  try {
    while (!attempt(database, holder)) {
      if (performance.now() > deadline) throw lockedError(readHolder(database))
      await sleep(RETRY_MS)
    }
  } catch (error) {
    database.close()
    throw translate(error, path)
  }
  let held = true
  return {
    [Symbol.asyncDispose]: async () => {
      if (!held) return
      held = false
      database.close()
    },
  }
}

/** Who holds the lock now; null when it is free. Writes nothing. */
export function lockHolder(path: string): Holder | null {
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    database.exec('begin immediate')
    return null
  } catch (error) {
    if (isBusy(error)) return readHolder(database)
    throw translate(error, path)
  } finally {
    database.close()
  }
}

function attempt(database: DatabaseSync, holder: Holder): boolean {
  try {
    database.exec('begin immediate')
    database.exec(
      'create table if not exists holder (one integer primary key, pid integer not null, token text not null)',
    )
    database.prepare('insert or replace into holder values (1, ?, ?)').run(holder.pid, holder.token)
    database.exec('commit')
    database.exec('begin immediate')
    // Between the two transactions another process may have come and written its own row.
    if (readHolder(database)?.token === holder.token) return true
    database.exec('rollback')
    return false
  } catch (error) {
    if (database.isTransaction) database.exec('rollback')
    if (isBusy(error)) return false
    throw error
  }
}

function readHolder(database: DatabaseSync): Holder | null {
  try {
    const row = database.prepare('select pid, token from holder').get()
    return row === undefined ? null : { pid: Number(row.pid), token: String(row.token) }
  } catch {
    // The very first holder has not committed its row yet.
    return null
  }
}

function lockedError(holder: Holder | null): SyncError {
  const who = holder === null ? 'another process' : `process ${holder.pid}`
  return new SyncError('PROJECT_LOCKED', `${who} is running this project already`, {
    hint:
      holder === null
        ? 'Wait until it ends.'
        : `Wait until it ends, or stop it (kill ${holder.pid}). plan, verify, status, history, trigger and release work beside it.`,
  })
}
