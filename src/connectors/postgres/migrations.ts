/** Syncline's own tables in a Postgres target, in the role's current schema: numbered steps, forward only. */
import { SyncError } from '../../core/error.ts'
import { isCurrent, type OwnTables, runSteps } from '../sql/own-tables.ts'
import type { Client } from './client.ts'

const tables: OwnTables = {
  place: 'database',
  versions: 'CREATE TABLE IF NOT EXISTS _syncline_migration (version integer PRIMARY KEY)',
  steps: [
    [
      `CREATE TABLE _syncline_collection (
         name text PRIMARY KEY, project text NOT NULL, sync text NOT NULL, schema text NOT NULL, orphans text NOT NULL, adopted boolean NOT NULL
       )`,
      `CREATE TABLE _syncline_checkpoint (
         project text NOT NULL, sync text NOT NULL, collection text NOT NULL, cursor text, fingerprint text,
         generation bigint NOT NULL, backend_pid integer, backend_start timestamptz, updated_at timestamptz NOT NULL DEFAULT now(),
         PRIMARY KEY (project, sync)
       )`,
      `CREATE TABLE _syncline_rejected (
         project text NOT NULL, sync text NOT NULL, key text NOT NULL, code text NOT NULL, message text NOT NULL, at timestamptz NOT NULL DEFAULT now(),
         PRIMARY KEY (project, sync, key)
       )`,
    ],
    // What became of conditional writes, until the store knows: a two-way sync looks it up after a crash.
    [
      `CREATE TABLE _syncline_write (
         project text NOT NULL, name text NOT NULL, id text NOT NULL, results text NOT NULL, at timestamptz NOT NULL DEFAULT now(),
         PRIMARY KEY (project, name, id)
       )`,
    ],
    // A frozen worker's session is found by its lock.
    ['ALTER TABLE _syncline_checkpoint DROP COLUMN backend_pid, DROP COLUMN backend_start'],
  ],
}

/** Any number; the same for every process that migrates this database. */
const MIGRATION_LOCK = 7_954_318_220

/** Whether Syncline's tables are there. GRANT_MISSING where they are in a schema that the role may not use: who can't see them has not lost them. */
export async function migrated(client: Client): Promise<boolean> {
  const [row] = await client.query(`SELECT to_regclass('_syncline_migration') IS NOT NULL, (${closedSchemaSql})`)
  if (row?.[0] === 't') return true
  if (typeof row?.[1] === 'string')
    throw new SyncError(
      'GRANT_MISSING',
      `the role may not use the schema ${row[1]}, in which Syncline keeps its tables`,
      {
        hint: `As its owner: GRANT USAGE ON SCHEMA ${row[1]} TO <user>.`,
      },
    )
  return false
}

/** The first schema of the role's search path that is there, if our tables are in it and the role may not use it. */
const closedSchemaSql = `
  SELECT CASE WHEN NOT has_schema_privilege(_first.oid, 'USAGE') AND EXISTS (
      SELECT 1 FROM pg_class WHERE relname = '_syncline_migration' AND relnamespace = _first.oid
    ) THEN _first.nspname END
  FROM (
    SELECT oid, nspname FROM pg_settings
      CROSS JOIN unnest(string_to_array(reset_val, ',')) WITH ORDINALITY AS _path(part, place)
      JOIN pg_namespace ON nspname = CASE btrim(part, ' "') WHEN '$user' THEN current_user ELSE btrim(part, ' "') END
    WHERE name = 'search_path' ORDER BY place LIMIT 1
  ) AS _first`

/** Brings the tables up to this version; safe when several processes start at once. */
export async function migrate(client: Client): Promise<void> {
  if ((await migrated(client)) && (await isCurrent(client, tables))) return
  await client.begin('write', `SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`)
  try {
    await runSteps(client, tables)
    await client.commit()
  } catch (error) {
    await client.rollback()
    throw error
  }
}
