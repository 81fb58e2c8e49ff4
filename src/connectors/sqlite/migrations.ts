/** Syncline's own tables in a SQLite target: numbered steps, forward only. */
import type { DatabaseSync } from 'node:sqlite'
import { hasOwnTables, isCurrent, type OwnTables, runSteps } from '../sql/own-tables.ts'
import type { SqlSession } from '../sql/session.ts'
import { inTransaction } from './session.ts'

const tables: OwnTables = {
  place: 'file',
  versions: 'CREATE TABLE IF NOT EXISTS _syncline_migration (version INTEGER PRIMARY KEY) STRICT',
  steps: [
    [
      `CREATE TABLE _syncline_collection (
         name TEXT PRIMARY KEY, project TEXT NOT NULL, sync TEXT NOT NULL, schema TEXT NOT NULL, orphans TEXT NOT NULL, adopted INTEGER NOT NULL
       ) STRICT`,
      `CREATE TABLE _syncline_checkpoint (
         project TEXT NOT NULL, sync TEXT NOT NULL, collection TEXT NOT NULL, cursor TEXT, fingerprint TEXT,
         generation INTEGER NOT NULL, updated_at INTEGER NOT NULL, PRIMARY KEY (project, sync)
       ) STRICT`,
      `CREATE TABLE _syncline_rejected (
         project TEXT NOT NULL, sync TEXT NOT NULL, key TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL, at INTEGER NOT NULL,
         PRIMARY KEY (project, sync, key)
       ) STRICT`,
    ],
    // What became of conditional writes, until the store knows: a two-way sync looks it up after a crash.
    [
      `CREATE TABLE _syncline_write (
         project TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, results TEXT NOT NULL, at INTEGER NOT NULL,
         PRIMARY KEY (project, name, id)
       ) STRICT`,
    ],
  ],
}

/** Brings the tables up to this version; safe when several processes start at once. */
export async function migrate(database: DatabaseSync, file: string, session: SqlSession): Promise<void> {
  if ((await hasOwnTables(session)) && (await isCurrent(session, tables))) return
  await inTransaction(database, file, () => runSteps(session, tables))
}
