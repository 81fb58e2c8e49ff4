/** A source that is restored from a snapshot of its disk: the same server by every name, with another history. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { startPostgres } from '../tools/postgres.ts'
import { assertEqual, openPair, type Pair, postgresAt, postgresToSqlite, sqliteDatabase } from './hazards/pair.ts'

/** Reads of the source that found this many rows. */
async function readBy(pair: Pair): Promise<number> {
  return (await pair.mustRun()).read
}

/** With its owner, which is another user's where root runs the tests. */
function copyFolder(from: string, to: string): void {
  execFileSync('cp', ['-a', from, to])
}

describe('point 49: a source restored from a disk snapshot', () => {
  test('is compared in full when it has gone on beyond what was read, and an ordinary start is not', async () => {
    await using server = await startPostgres()
    const { restart } = server
    assert.ok(restart !== undefined)
    let snapshot = ''
    const noDispose = { url: server.url, [Symbol.asyncDispose]: async () => {} }
    const rows = 500
    await using target = await sqliteDatabase()
    let source = await postgresAt(noDispose)
    await source.sql(
      `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, 'first' FROM generate_series(1, ${rows}) AS n`,
    )
    const left = { ...source, connect: (context: Parameters<typeof source.connect>[0]) => source.connect(context) }
    await using pair = await openPair(left, { ...target, [Symbol.asyncDispose]: async () => {} })
    const started = async (work: (dataPath: string) => Promise<void> = async () => {}) => {
      await pair.project().reconnect('left')
      await source[Symbol.asyncDispose]()
      await restart(work)
      source = await postgresAt(noDispose)
    }
    await pair.mustRun()
    await source.sql(`UPDATE t SET v = 'seen by both histories' WHERE id = 1`)
    await pair.mustRun()
    // An ordinary start: the newest row is where it was.
    await started()
    assert.ok((await readBy(pair)) < rows)
    await started(async (dataPath) => {
      snapshot = `${dataPath}-snapshot`
      copyFolder(dataPath, snapshot)
    })
    await source.sql(`UPDATE t SET v = 'lost' WHERE id BETWEEN 10 AND 20`)
    await pair.mustRun()
    // Restored, and then further than before: nothing but the rows tells it.
    await started(async (dataPath) => {
      await rm(dataPath, { recursive: true })
      copyFolder(snapshot, dataPath)
    })
    for (let more = 0; more < 30; more++) await source.sql(`UPDATE t SET v = 'other ${more}' WHERE id = ${100 + more}`)
    await pair.mustRun()
    assert.deepEqual((await target.sql('SELECT DISTINCT v FROM t WHERE id BETWEEN 10 AND 20')).flat(), ['first'])
    await assertEqual(pair)
    // Once compared, it is followed again, also over the next start.
    await source.sql(`UPDATE t SET v = 'after' WHERE id = 3`)
    assert.ok((await readBy(pair)) < rows)
    await started()
    assert.ok((await readBy(pair)) < rows)
    await source[Symbol.asyncDispose]()
  })

  test('costs no full compare while a server runs, whatever becomes of its newest row', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(
      `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, 'first' FROM generate_series(1, 500) AS n`,
    )
    await pair.mustRun()
    // Transactions of other tests on this server may be older than the rows: until they end, all is read again.
    for (let tries = 0; (await readBy(pair)) === 500; tries++) {
      assert.ok(tries < 300, 'a transaction does not end')
      await setTimeout(100)
    }
    for (const change of [
      `UPDATE t SET v = 'second' WHERE id = 500`,
      `UPDATE t SET v = 'third' WHERE id = 500`,
      'DELETE FROM t WHERE id = 500',
      `INSERT INTO t VALUES (500, 'again')`,
      'VACUUM t',
    ]) {
      await pair.left.sql(change)
      assert.ok((await readBy(pair)) < 500, change)
    }
    await assertEqual(pair)
  })
})
