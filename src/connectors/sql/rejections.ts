/** `_syncline_rejected`: keys and reasons of rows that the target refused and does not hold. */
import { keyText, parseKeyText } from '../../core/key-text.ts'
import type { Rejection } from '../../core/sync.ts'
import type { Key } from '../../core/value.ts'
import { type Fence, isOf } from './fence.ts'
import { ask, run, type SqlSession } from './session.ts'
import { sql } from './statement.ts'

export async function readRejections(session: SqlSession, fence: Fence): Promise<Rejection[]> {
  // A target that no run has reached yet has no tables of ours.
  const [there] = await ask(session, session.dialect.hasTable('_syncline_rejected'))
  if (there === undefined) return []
  const rows = await ask(session, sql`SELECT key, code, message FROM _syncline_rejected WHERE ${isOf(fence)}`)
  return rows.map(([key, code, message]) => ({
    key: parseKeyText(String(key)),
    code: String(code),
    message: String(message),
  }))
}

/** Adds these, forgets those; of several with one key the last counts. Two statements, however many they are. */
export async function replaceRejections(
  session: SqlSession,
  fence: Fence,
  rejected: readonly Rejection[],
  settled: readonly Key[],
): Promise<void> {
  const { dialect } = session
  const added = new Map(rejected.map(({ key, code, message }) => [keyText(key), [code, message]]))
  const replaced = new Set([...settled.map(keyText), ...added.keys()])
  if (replaced.size === 0) return
  const keys = dialect.textRows(
    ['key'],
    [...replaced].map((key) => [key]),
  )
  await run(
    session,
    sql`DELETE FROM _syncline_rejected WHERE ${isOf(fence)} AND key IN (SELECT given.key FROM ${keys} AS given)`,
  )
  if (added.size === 0) return
  const rows = dialect.textRows(
    ['key', 'code', 'message'],
    [...added].map(([key, texts]) => [key, ...texts]),
  )
  await run(
    session,
    sql`INSERT INTO _syncline_rejected (project, sync, key, code, message, at)
      SELECT ${fence.project}, ${fence.sync}, given.key, given.code, given.message, ${dialect.now()} FROM ${rows} AS given`,
  )
}

export async function forgetRejections(session: SqlSession, fence: Fence): Promise<void> {
  await run(session, sql`DELETE FROM _syncline_rejected WHERE ${isOf(fence)}`)
}
