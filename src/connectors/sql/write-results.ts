/** `_syncline_write`: what became of conditional writes, until the store knows. All of it in the transaction of the writes. */
import type { WriteResult } from '../connector.ts'
import { decodeResults, encodeResults } from '../write.ts'
import type { Fence } from './fence.ts'
import { ask, run, type SqlSession } from './session.ts'
import { type Sql, sql } from './statement.ts'

/** Under an id that nothing is recorded under. */
export async function recordResults(
  session: SqlSession,
  { project, sync }: Fence,
  id: string,
  results: readonly WriteResult[],
): Promise<void> {
  await run(
    session,
    sql`INSERT INTO _syncline_write (project, name, id, results, at)
      VALUES (${project}, ${sync}, ${id}, ${encodeResults(results)}, ${session.dialect.now()})`,
  )
}

/** Null: none of these writes took effect. */
export async function recallResults(session: SqlSession, fence: Fence, id: string): Promise<WriteResult[] | null> {
  const [row] = await ask(session, sql`SELECT results FROM _syncline_write WHERE ${isOf(fence)} AND id = ${id}`)
  return row === undefined ? null : decodeResults(String(row[0]))
}

export async function forgetResults(session: SqlSession, fence: Fence, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  const given = session.dialect.textRows(
    ['id'],
    ids.map((id) => [id]),
  )
  await run(
    session,
    sql`DELETE FROM _syncline_write WHERE ${isOf(fence)} AND id IN (SELECT given.id FROM ${given} AS given)`,
  )
}

export async function anyResults(session: SqlSession, fence: Fence): Promise<boolean> {
  const found = await ask(session, sql`SELECT 1 FROM _syncline_write WHERE ${isOf(fence)} LIMIT 1`)
  return found.length > 0
}

export async function forgetAllResults(session: SqlSession, fence: Fence): Promise<void> {
  await run(session, sql`DELETE FROM _syncline_write WHERE ${isOf(fence)}`)
}

function isOf({ project, sync }: Fence): Sql {
  return sql`project = ${project} AND name = ${sync}`
}
