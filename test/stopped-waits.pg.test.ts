/** Hazard 40: what waits in a Postgres server for a lock that somebody else holds ends when its work is stopped. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SyncError } from '../src/core/error.ts'
import { planSync } from '../src/engine/one-way/plan.ts'
import { type Pair, type PostgresDatabase, postgresToPostgres } from './hazards/pair.ts'

const stopped = new SyncError('INTERRUPTED', 'stopped by the test')

/** Both sides hold rows; nobody may read or write the table of one of them while `work` is under way, until it ends. */
async function stopWhileLocked(
  side: 'left' | 'right',
  work: (pair: Pair<PostgresDatabase, PostgresDatabase>) => Promise<unknown>,
  { freeze }: { readonly freeze: boolean } = { freeze: false },
): Promise<unknown> {
  await using pair = await postgresToPostgres()
  await pair.left.sql('CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, $$a$$)')
  await pair.mustRun()
  await pair.left.sql(`UPDATE t SET v = 'b'`)
  const other = await pair[side].session()
  await other('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE')
  const working = work(pair).catch((error: unknown) => error)
  let waiting: number[] = []
  while (waiting.length === 0) {
    const rows = await pair[side].sql(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )
    waiting = rows.map(([pid]) => Number(pid))
  }
  if (freeze) for (const pid of waiting) process.kill(pid, 'SIGSTOP')
  pair.interrupt.abort(stopped)
  try {
    return await working
  } finally {
    if (freeze) for (const pid of waiting) process.kill(pid, 'SIGCONT')
    await other('ROLLBACK')
  }
}

describe('hazard 40: a wait for a lock hears that its work is stopped', { concurrency: true }, () => {
  for (const side of ['left', 'right'] as const) {
    test(`a run, by the ${side}`, { timeout: 60_000 }, async () => {
      const run = await stopWhileLocked(side, async (pair) => {
        const { status, error } = await pair.run()
        return { status, code: error?.code }
      })
      assert.deepEqual(run, { status: 'interrupted', code: 'INTERRUPTED' })
    })

    test(`verify, by the ${side}`, { timeout: 60_000 }, async () => {
      assert.equal(await stopWhileLocked(side, (pair) => pair.verify()), stopped)
    })
  }

  test('plan', { timeout: 60_000 }, async () => {
    assert.equal(await stopWhileLocked('left', (pair) => planSync(pair.sync, pair.project())), stopped)
  })

  test('also of a server that does not hear it', { timeout: 60_000 }, async () => {
    assert.equal(await stopWhileLocked('left', (pair) => pair.verify(), { freeze: true }), stopped)
  })
})
