/** The fence of a target: whoever took it last writes, nobody before. Its generation stands beside the checkpoint. */
import { SyncError } from '../../core/error.ts'
import type { TargetSpec } from '../connector.ts'
import { ask, type SqlSession } from './session.ts'
import { type Sql, sql } from './statement.ts'

/** Whose fence it is. */
export type Fence = Pick<TargetSpec, 'project' | 'sync'>

/** That a row of `_syncline_checkpoint` or `_syncline_rejected` is of this sync. */
export function isOf({ project, sync }: Fence): Sql {
  return sql`project = ${project} AND sync = ${sync}`
}

/** Null: nobody has taken it yet. */
export async function generationOf(session: SqlSession, fence: Fence): Promise<number | null> {
  const [row] = await ask(session, sql`SELECT generation FROM _syncline_checkpoint WHERE ${isOf(fence)}`)
  return row === undefined ? null : Number(row[0])
}

/** The generations of the fences of a name that were ever taken for this collection, by project. */
export async function generationsOf(
  session: SqlSession,
  name: string,
  collection: string,
): Promise<ReadonlyMap<string, number>> {
  const rows = await ask(
    session,
    sql`SELECT project, generation FROM _syncline_checkpoint WHERE sync = ${name} AND collection = ${collection}`,
  )
  return new Map(rows.map(([project, generation]) => [String(project), Number(generation)]))
}

/**
 * Takes the fence under a new generation, the first of a sync being 1. Null, and nothing is changed: it has another generation than
 * the one that is held (0: nobody may have it yet; null: whichever it has).
 */
export async function takeGeneration(
  session: SqlSession,
  fence: Fence,
  collection: string,
  held: number | null,
): Promise<number | null> {
  const [row] = await ask(
    session,
    sql`INSERT INTO _syncline_checkpoint AS fence (project, sync, collection, generation, updated_at)
      VALUES (${fence.project}, ${fence.sync}, ${collection}, 1, ${session.dialect.now()})
      ON CONFLICT (project, sync) DO UPDATE
        SET generation = fence.generation + 1, collection = excluded.collection, updated_at = excluded.updated_at
        ${held === null ? sql`` : sql`WHERE fence.generation = ${held}`}
      RETURNING generation`,
  )
  return row === undefined ? null : Number(row[0])
}

/** What was begun under the generation held is void from here on; null: somebody else has taken the fence. In a transaction. */
export async function raiseGeneration(session: SqlSession, fence: Fence, held: number): Promise<number | null> {
  const [row] = await ask(
    session,
    sql`UPDATE _syncline_checkpoint SET generation = generation + 1 WHERE ${isOf(fence)} AND generation = ${held} RETURNING generation`,
  )
  return row === undefined ? null : Number(row[0])
}

export function leaseLost({ sync }: Pick<Fence, 'sync'>): SyncError {
  return new SyncError('LEASE_LOST', `another process took over sync ${sync}; this one writes nothing more`, {
    hint: 'Nothing is lost: the other process goes on from the last checkpoint.',
  })
}
