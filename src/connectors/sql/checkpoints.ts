/** `_syncline_checkpoint`: how far each sync has read, durable together with the rows. */
import type { Checkpoint } from '../connector.ts'
import { type Fence, isOf, leaseLost } from './fence.ts'
import { ask, run, type SqlSession, textOf } from './session.ts'
import { sql } from './statement.ts'

export async function readCheckpoint(session: SqlSession, fence: Fence): Promise<Checkpoint | null> {
  const [row] = await ask(session, sql`SELECT cursor, fingerprint FROM _syncline_checkpoint WHERE ${isOf(fence)}`)
  const fingerprint = textOf(row?.[1])
  return fingerprint === null ? null : { cursor: textOf(row?.[0]), fingerprint }
}

/** Stores the checkpoint unless it is null. LEASE_LOST: the fence has another generation. */
export async function storeCheckpoint(
  session: SqlSession,
  { fence, generation }: { readonly fence: Fence; readonly generation: number },
  checkpoint: Checkpoint | null,
): Promise<void> {
  const sets =
    checkpoint === null ? sql`` : sql`, cursor = ${checkpoint.cursor}, fingerprint = ${checkpoint.fingerprint}`
  const updated = await run(
    session,
    sql`UPDATE _syncline_checkpoint SET updated_at = ${session.dialect.now()}${sets} WHERE ${isOf(fence)} AND generation = ${generation}`,
  )
  if (updated !== 1) throw leaseLost(fence)
}

/** The next run reads from the beginning. */
export async function forgetCheckpoint(session: SqlSession, fence: Fence): Promise<void> {
  await run(session, sql`UPDATE _syncline_checkpoint SET cursor = NULL, fingerprint = NULL WHERE ${isOf(fence)}`)
}

/** The same, and who holds the fence writes nothing more. */
export async function resetCheckpoint(session: SqlSession, fence: Fence): Promise<void> {
  await run(
    session,
    sql`UPDATE _syncline_checkpoint SET cursor = NULL, fingerprint = NULL, generation = generation + 1 WHERE ${isOf(fence)}`,
  )
}
