/** Syncline's own tables in a SQLite target: numbered steps, forward only. */
import type { DatabaseSync } from 'node:sqlite'
import { SyncError } from '../../core/error.ts'
import { tableKind } from './catalog.ts'

const steps: readonly string[] = [
  `CREATE TABLE _syncline_collection (
     name TEXT PRIMARY KEY, project TEXT NOT NULL, sync TEXT NOT NULL, schema TEXT NOT NULL, orphans TEXT NOT NULL, adopted INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE _syncline_checkpoint (
     project TEXT NOT NULL, sync TEXT NOT NULL, collection TEXT NOT NULL, cursor TEXT, fingerprint TEXT,
     generation INTEGER NOT NULL, updated_at INTEGER NOT NULL, PRIMARY KEY (project, sync)
   ) STRICT;
   CREATE TABLE _syncline_rejected (
     project TEXT NOT NULL, sync TEXT NOT NULL, key TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL, at INTEGER NOT NULL,
     PRIMARY KEY (project, sync, key)
   ) STRICT;`,
  // What became of conditional writes, until the store knows: a two-way sync looks it up after a crash.
  `CREATE TABLE _syncline_write (
     project TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, results TEXT NOT NULL, at INTEGER NOT NULL,
     PRIMARY KEY (project, name, id)
   ) STRICT;`,
]

/** Whether Syncline's tables are there. */
export function migrated(database: DatabaseSync): boolean {
  return tableKind(database, '_syncline_migration') !== null
}

/** Brings the tables up to this version; safe when several processes start at once. */
export function migrate(database: DatabaseSync): void {
  if (migrated(database) && versionOf(database) === steps.length) return
  database.exec('BEGIN IMMEDIATE')
  try {
    database.exec('CREATE TABLE IF NOT EXISTS _syncline_migration (version INTEGER PRIMARY KEY) STRICT')
    const version = versionOf(database)
    if (version > steps.length) {
      throw new SyncError(
        'FILE_UNUSABLE',
        `this file was written by a newer Syncline (its tables are version ${version}, this one knows ${steps.length})`,
        {
          hint: 'Update syncline.',
        },
      )
    }
    for (let next = version; next < steps.length; next++) {
      database.exec(steps[next] as string)
      database.prepare('INSERT INTO _syncline_migration VALUES (?)').run(next + 1)
    }
    database.exec('COMMIT')
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

function versionOf(database: DatabaseSync): number {
  return Number(database.prepare('SELECT coalesce(max(version), 0) AS version FROM _syncline_migration').get()?.version)
}
