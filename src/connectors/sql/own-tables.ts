/** Syncline's own tables: numbered steps, forward only. The steps are each system's own; here they are run. */
import { SyncError } from '../../core/error.ts'
import { ask, run, type SqlSession } from './session.ts'
import { sql } from './statement.ts'

export interface OwnTables {
  /** What the tables are in, as error messages say it. */
  readonly place: string
  /** Makes the table of versions where it is missing. */
  readonly versions: string
  /** The statements of each step. What has been released never changes; what is new is a step at the end. */
  readonly steps: readonly (readonly string[])[]
}

export async function hasOwnTables(session: SqlSession): Promise<boolean> {
  return (await ask(session, session.dialect.hasTable('_syncline_migration'))).length > 0
}

/** Whether the tables, which are there, are those that this version knows. */
export async function isCurrent(session: SqlSession, { steps }: OwnTables): Promise<boolean> {
  return (await versionOf(session)) === steps.length
}

/** Brings the tables up to this version, in a transaction that no other process can run this in. FILE_UNUSABLE: a newer version made them. */
export async function runSteps(session: SqlSession, { place, versions, steps }: OwnTables): Promise<void> {
  await session.execute(versions)
  const version = await versionOf(session)
  if (version > steps.length) {
    throw new SyncError(
      'FILE_UNUSABLE',
      `this ${place} was written by a newer Syncline (its tables are version ${version}, this one knows ${steps.length})`,
      { hint: 'Update syncline.' },
    )
  }
  for (const [at, statements] of steps.entries()) {
    if (at < version) continue
    for (const statement of statements) await session.execute(statement)
    await run(session, sql`INSERT INTO _syncline_migration VALUES (${at + 1})`)
  }
}

async function versionOf(session: SqlSession): Promise<number> {
  return Number((await ask(session, sql`SELECT coalesce(max(version), 0) FROM _syncline_migration`))[0]?.[0])
}
