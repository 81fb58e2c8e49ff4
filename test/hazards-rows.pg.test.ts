/** Rows that go, and rows that can't be written: deletes that nobody reports, partial reads, refused rows. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import {
  assertEqual,
  openPair,
  type Pair,
  postgresDatabase,
  postgresToPostgres,
  postgresToSqlite,
  sqliteDatabase,
  sqliteToPostgres,
  sqliteToSqlite,
} from './hazards/pair.ts'

async function idsAt(side: Pair['right']): Promise<number[]> {
  return (await side.sql('SELECT id FROM t ORDER BY id')).map(([id]) => Number(id))
}

const thirty = `CREATE TABLE t (id integer PRIMARY KEY, code integer UNIQUE, note text)`
const fill = (from: number, to: number) =>
  `INSERT INTO t VALUES ${Array.from({ length: to - from + 1 }, (_, at) => `(${from + at}, ${from + at}, 'old')`)}`

describe('hazard 5: deletes missed', () => {
  test('hazard 5: as many deleted as inserted: counts at the source stay, deletes are found', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(`${thirty}; ${fill(1, 300)}`)
    await pair.mustRun()
    await pair.left.sql(`DELETE FROM t WHERE id IN (5, 150, 299); ${fill(301, 303)}`)
    const run = await pair.mustRun()
    assert.deepEqual([run.inserted, run.deleted], [3, 3])
    await assertEqual(pair)
  })

  test('hazard 5: a key that changed, and one deleted and inserted again', async () => {
    await using pair = await postgresToPostgres()
    await pair.left.sql(`${thirty}; ${fill(1, 50)}`)
    await pair.mustRun()
    await pair.left.sql(`UPDATE t SET id = 1000 WHERE id = 1; DELETE FROM t WHERE id = 2`)
    await pair.left.sql(`INSERT INTO t VALUES (2, 2, 'again'); DELETE FROM t WHERE id = 3`)
    await pair.mustRun()
    assert.deepEqual(await idsAt(pair.right), await idsAt(pair.left))
    await assertEqual(pair)
  })

  test('hazard 5: a table truncated and filled with as many rows', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(`${thirty}; ${fill(1, 50)}`)
    await pair.mustRun()
    await pair.left.sql(`TRUNCATE t; ${fill(41, 90)}`)
    await pair.mustRun({ guard: { maxDeletes: 100, maxDeleteShare: 1 } })
    assert.deepEqual(await idsAt(pair.right), await idsAt(pair.left))
  })

  test('hazard 5: a rejected row has a key beside that of a deleted one', async () => {
    await using pair = await sqliteToSqlite('none')
    await pair.left.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, ok BOOLEAN);
      WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t SELECT i * 2, 1 FROM n`)
    await pair.mustRun()
    await pair.left.sql("INSERT INTO t VALUES (51, x'00'); DELETE FROM t WHERE id = 50")
    const { deleted, rejected } = await pair.run()
    assert.deepEqual([deleted, rejected], [1, 1])
    assert.deepEqual(await pair.right.sql('SELECT id FROM t WHERE id BETWEEN 48 AND 52'), [['48'], ['52']])
  })

  test('hazard 5: a text in a column of integer keys, and integers and texts in one of bytes, are rejected, and hide no deletion', async () => {
    for (const [declared, odd] of [
      ['INT', ["'x'"]],
      ['INT', ['1.5']],
      ['BLOB', ['1', "'1'"]],
    ] as const) {
      await using pair = await sqliteToSqlite('none')
      const key = (at: number) => (declared === 'INT' ? `${at}` : `x'0${at}'`)
      await pair.left.sql(`CREATE TABLE t (id ${declared} PRIMARY KEY, v TEXT);
        INSERT INTO t VALUES ${[4, 5, 6, 7].map((at) => `(${key(at)}, 'v${at}')`).join(', ')}`)
      await pair.mustRun()
      await pair.left.sql(`INSERT INTO t VALUES ${odd.map((one) => `(${one}, 'odd')`).join(', ')}`)
      await pair.left.sql(`DELETE FROM t WHERE id = ${key(5)}`)
      const run = await pair.run()
      assert.deepEqual([run.error?.code, run.deleted, run.rejected], ['ROWS_REJECTED', 1, odd.length])
      assert.deepEqual(await pair.right.sql('SELECT v FROM t ORDER BY v'), [['v4'], ['v6'], ['v7']])
      const { left, right, unreadable } = await pair.verify()
      assert.deepEqual([left, right, unreadable], [3 + odd.length, 3, odd.length])
    }
  })

  test('hazard 5: INSERT OR REPLACE deletes another row without firing its trigger', async () => {
    await using pair = await sqliteToSqlite('triggers')
    await pair.left.sql(`${thirty}; ${fill(1, 30)}`)
    await pair.mustRun()
    await pair.left.sql(`INSERT OR REPLACE INTO t VALUES (100, 7, 'takes the code of row 7')`)
    await pair.mustRun()
    assert.deepEqual(await idsAt(pair.right), await idsAt(pair.left))
    await assertEqual(pair)
  })

  test('hazard 5: triggers that were dropped while rows changed', async () => {
    await using pair = await sqliteToSqlite('triggers')
    await pair.left.sql(`${thirty}; ${fill(1, 30)}`)
    await pair.mustRun()
    await pair.left.sql(`DROP TRIGGER "_syncline_track_update_t"; UPDATE t SET note = 'unseen' WHERE id = 3`)
    await pair.mustRun()
    assert.deepEqual(await pair.right.sql('SELECT note FROM t WHERE id = 3'), [['unseen']])
    await assertEqual(pair)
  })

  test('hazard 5: a SQLite file put back from a backup', async () => {
    await using pair = await sqliteToSqlite('triggers')
    await pair.left.sql(`${thirty}; ${fill(1, 30)}`)
    await pair.mustRun()
    await pair.left.sql(`UPDATE t SET note = 'lost' WHERE id = 3; ${fill(31, 32)}`)
    await pair.mustRun()
    // What the backup held: the rows and the change table as they were.
    await pair.left.sql(
      `UPDATE t SET note = 'old' WHERE id = 3; DELETE FROM t WHERE id > 30; DELETE FROM _syncline_change; UPDATE sqlite_sequence SET seq = 0`,
    )
    await pair.mustRun()
    await assertEqual(pair)
  })
})

describe('hazard 6: empty or partial reads', () => {
  test('hazard 6: a role that sees no rows any more deletes nothing', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(`${thirty}; ${fill(1, 30)}`)
    const role = `reader_${Math.random().toString(36).slice(2)}`
    await pair.left.connectAs(role)
    await pair.left.sql(`GRANT SELECT ON t TO ${role}`)
    await pair.mustRun()
    await pair.left.sql('ALTER TABLE t ENABLE ROW LEVEL SECURITY')
    const run = await pair.run()
    assert.deepEqual([run.status, run.error?.code, run.heldDeletes], ['held', 'GUARD_HELD', 30])
    assert.equal((await idsAt(pair.right)).length, 30)
  })

  test('hazard 6: a role that sees only some rows deletes nothing', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(`${thirty}; ${fill(1, 60)}`)
    const role = `reader_${Math.random().toString(36).slice(2)}`
    await pair.left.connectAs(role)
    await pair.left.sql(`GRANT SELECT ON t TO ${role}`)
    await pair.mustRun()
    await pair.left.sql('ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY partly ON t USING (id <= 40)')
    assert.equal((await pair.run()).status, 'held')
    await pair.left.sql('ALTER TABLE t DISABLE ROW LEVEL SECURITY')
    await assertEqual(pair)
  })

  test('hazard 6: a role that lost its grant fails, with a hint, and deletes nothing', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(`${thirty}; ${fill(1, 5)}`)
    const role = `reader_${Math.random().toString(36).slice(2)}`
    await pair.left.connectAs(role)
    await pair.left.sql(`GRANT SELECT ON t TO ${role}`)
    await pair.mustRun()
    await pair.left.sql(`REVOKE SELECT ON t FROM ${role}`)
    const run = await pair.run()
    assert.deepEqual([run.status, run.error?.code], ['failed', 'GRANT_MISSING'])
    assert.match(run.error?.hint ?? '', /GRANT SELECT ON t/)
    assert.equal((await idsAt(pair.right)).length, 5)
  })

  test('hazard 6: an emptied SQLite table is held', async () => {
    await using pair = await sqliteToSqlite('none')
    await pair.left.sql(`${thirty}; ${fill(1, 3)}`)
    await pair.mustRun()
    await pair.left.sql('DELETE FROM t')
    assert.equal((await pair.run()).status, 'held')
  })
})

const checked = {
  postgres: `CREATE TABLE t (id integer PRIMARY KEY, code integer, note text CHECK (note <> 'bad'))`,
  sqlite: `CREATE TABLE t (id INTEGER PRIMARY KEY, code INTEGER, note TEXT CHECK (note <> 'bad'))`,
}
const bad = [3, 1500, 1501, 4999]

describe('hazard 18: partial batch failure', () => {
  for (const [name, open] of [
    ['postgres', postgresToPostgres],
    ['sqlite', postgresToSqlite],
  ] as const) {
    test(`hazard 18: bad rows in thousands are found and told, all others written, and mended later (${name})`, async () => {
      await using pair = await open({ adopt: true })
      await pair.left.sql(
        `CREATE TABLE t (id int PRIMARY KEY, code int, note text);
         INSERT INTO t SELECT n, n, CASE WHEN n IN (${bad}) THEN 'bad' ELSE 'good' END FROM generate_series(1, 5000) n`,
      )
      await pair.right.sql(checked[name])
      const run = await pair.run()
      assert.deepEqual(
        [run.status, run.error?.code, run.inserted, run.rejected],
        ['failed', 'ROWS_REJECTED', 4996, 4],
        run.error?.message,
      )
      const rejected = await pair.right.sql('SELECT key, code, message FROM _syncline_rejected')
      assert.deepEqual(
        rejected.map(([key]) => JSON.parse(key ?? '')[0]).sort((a, b) => a - b),
        bad,
      )
      for (const [, code, message] of rejected) {
        assert.match(code ?? '', /^VALUE_REFUSED/)
        assert.match(message ?? '', /check/i)
      }

      const again = await pair.run()
      assert.deepEqual([again.error?.code, again.inserted, again.rejected], ['ROWS_REJECTED', 0, 4])
      await pair.left.sql(`UPDATE t SET note = 'mended' WHERE id IN (3, 1500); DELETE FROM t WHERE id = 1501`)
      const better = await pair.run()
      assert.deepEqual([better.error?.code, better.inserted, better.rejected], ['ROWS_REJECTED', 2, 1])
      await pair.left.sql(`UPDATE t SET note = 'mended' WHERE id = 4999`)
      assert.equal((await pair.mustRun()).inserted, 1)
      assert.deepEqual(await pair.right.sql('SELECT count(*) FROM _syncline_rejected'), [['0']])
      await assertEqual(pair)
    })
  }

  test('hazard 18: a rejected update keeps the older row, and its error names no value', async () => {
    await using pair = await sqliteToPostgres('triggers')
    await pair.left.sql(
      `CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO t VALUES (1, 'fine'), (2, 'fine')`,
    )
    await pair.mustRun()
    await pair.left.sql(`UPDATE t SET note = 'secret' || char(0) WHERE id = 2; UPDATE t SET note = 'new' WHERE id = 1`)
    const run = await pair.run()
    assert.deepEqual([run.error?.code, run.updated, run.rejected], ['ROWS_REJECTED', 1, 1])
    assert.deepEqual(await pair.right.sql('SELECT note FROM t ORDER BY id'), [['new'], ['fine']])
    const told = JSON.stringify([run.error, await pair.right.sql('SELECT * FROM _syncline_rejected')])
    assert.ok(!told.includes('secret'), told)
  })

  test('hazard 18: in a first copy, too, one bad row takes no other with it', async () => {
    await using pair = await sqliteToPostgres('none')
    const rows = Array.from({ length: 3000 }, (_, id) => `(${id}, ${id === 1234 ? `'a' || char(0)` : `'good'`})`)
    await pair.left.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO t VALUES ${rows}`)
    const run = await pair.run()
    assert.deepEqual([run.error?.code, run.inserted, run.rejected], ['ROWS_REJECTED', 2999, 1])
  })
})

for (const over of ['', ' over a view'])
  test(`a view${over}: a table of it that is emptied and filled again in one transaction loses no row (TRUNCATE knows no snapshots)`, async () => {
    await using pair = await openPair(await postgresDatabase(), await sqliteDatabase(), { key: ['id'] })
    await pair.left.sql(`CREATE TABLE many (id int PRIMARY KEY); INSERT INTO many SELECT generate_series(1, 100);
      CREATE TABLE small (id int PRIMARY KEY); INSERT INTO small SELECT generate_series(201, 209);
      CREATE VIEW inner_t AS SELECT id FROM small`)
    await pair.left.sql(
      `CREATE VIEW t AS SELECT id FROM many UNION ALL SELECT id FROM ${over === '' ? 'small' : 'inner_t'}`,
    )
    assert.equal((await pair.mustRun()).inserted, 109)
    const job = await pair.left.session()
    await job('BEGIN; TRUNCATE small; INSERT INTO small SELECT generate_series(201, 209)')
    const running = pair.run()
    await setTimeout(300)
    await job('COMMIT')
    const { deleted, error } = await running
    assert.deepEqual([deleted, error], [0, null])
    assert.equal((await pair.verify()).equal, true)
  })

test('a view of which the role may read some columns only is read as before', async () => {
  await using pair = await openPair(await postgresDatabase(), await sqliteDatabase(), { key: ['id'] })
  const role = `columns_${Date.now()}`
  await pair.left.sql(`CREATE TABLE many (id int PRIMARY KEY, secret text); INSERT INTO many SELECT generate_series(1, 9);
    CREATE VIEW t AS SELECT id FROM many`)
  await pair.left.connectAs(role)
  await pair.left.sql(`GRANT USAGE ON SCHEMA public TO ${role}; GRANT SELECT (id) ON t TO ${role}`)
  assert.equal((await pair.mustRun()).inserted, 9)
})
