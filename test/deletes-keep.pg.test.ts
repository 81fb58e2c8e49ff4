/** `deletes: 'keep'`: what the source deletes stays in the target; what somebody deletes in the target comes back. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { planSync } from '../src/engine/one-way/plan.ts'
import { type Pair, postgresToPostgres, sqliteToPostgres, sqliteToSqlite } from './hazards/pair.ts'

const table = 'CREATE TABLE t (id integer PRIMARY KEY, note text)'
const four = `${table}; INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')`

async function rowsAt(side: Pair['right']): Promise<string[]> {
  return (await side.sql('SELECT id, note FROM t ORDER BY id')).map((row) => row.join(' '))
}

for (const [target, open] of Object.entries({ SQLite: sqliteToSqlite, Postgres: sqliteToPostgres }))
  for (const adopt of [false, true])
    describe(`point 8: keep, ${target}, ${adopt ? 'an adopted table' : 'a table of ours'}`, () => {
      const keeping = async () => {
        const pair = await open('triggers', { deletes: 'keep', adopt })
        await pair.left.sql(four)
        if (adopt) await pair.right.sql(table)
        await pair.mustRun()
        return pair
      }

      test('a deletion at the source and one in the target at once, though the counts stay equal: plan, verify and run say the same', async () => {
        await using pair = await keeping()
        await pair.left.sql('DELETE FROM t WHERE id = 2')
        await pair.mustRun()
        await pair.left.sql('DELETE FROM t WHERE id = 3')
        await pair.right.sql('DELETE FROM t WHERE id = 4')
        const { inserts, updates, deletes } = await planSync(pair.sync, pair.project())
        assert.deepEqual([inserts, updates, deletes], [1, 0, 0])
        assert.deepEqual([(await pair.verify()).equal, (await pair.verify()).missing], [false, 1])
        const run = await pair.mustRun()
        assert.deepEqual([run.inserted, run.updated, run.deleted], [1, 0, 0])
        assert.deepEqual(await rowsAt(pair.right), ['1 a', '2 b', '3 c', '4 d'])
        assert.equal((await pair.verify()).equal, true)
        const idle = await pair.mustRun()
        assert.deepEqual([idle.inserted, idle.updated, idle.deleted], [0, 0, 0])
      })

      test('a kept row that comes back at the source is the sync’s again, and repaired when it goes', async () => {
        await using pair = await keeping()
        await pair.left.sql('DELETE FROM t WHERE id = 2')
        await pair.mustRun()
        await pair.right.sql('DELETE FROM t WHERE id = 2')
        await pair.mustRun()
        assert.deepEqual(await rowsAt(pair.right), ['1 a', '3 c', '4 d'])
        await pair.left.sql(`INSERT INTO t VALUES (2, 'again')`)
        await pair.mustRun()
        await pair.right.sql('DELETE FROM t WHERE id = 2')
        await pair.mustRun()
        assert.deepEqual(await rowsAt(pair.right), ['1 a', '2 again', '3 c', '4 d'])
        assert.equal((await pair.verify()).equal, true)
      })

      test('no guard holds what is not deleted', async () => {
        await using pair = await keeping()
        await pair.left.sql('DELETE FROM t')
        const run = await pair.mustRun({ guard: { maxDeletes: 0, maxDeleteShare: 0 } })
        assert.equal(run.deleted, 0)
        assert.equal((await rowsAt(pair.right)).length, 4)
      })
    })

// A table of ours has the type of the source's key; an adopted one may compare without case by its collation.
const loose = { citext: false, 'citext ': true, 'text COLLATE ci': true } as const

for (const [type, adopt] of Object.entries(loose))
  describe(`hazard 33: keep, a key of type ${type}, ${adopt ? 'an adopted table' : 'a table of ours'}`, () => {
    const prepare = `CREATE EXTENSION citext; CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`
    const ids = async ({ right }: Pair) =>
      (await right.sql('SELECT id, note FROM t ORDER BY id')).map((row) => row.join(' '))

    test('a row is kept by the bytes of its key: one that the table takes for it is another', async () => {
      await using pair = await postgresToPostgres({ deletes: 'keep', adopt })
      const { left, right } = pair
      await left.sql(`${prepare}; CREATE TABLE t (id ${adopt ? 'text' : type} PRIMARY KEY, note text)`)
      await left.sql(`INSERT INTO t VALUES ('a', 'first'), ('b', 'b')`)
      await right.sql(prepare)
      if (adopt) await right.sql(`CREATE TABLE t (id ${type} PRIMARY KEY, note text)`)
      await pair.mustRun()
      await left.sql(`DELETE FROM t WHERE id = 'a'`)
      await pair.mustRun()
      assert.equal((await pair.verify()).equal, true)
      // Another spelling of the kept key: the row that is kept is in its way.
      await left.sql(`INSERT INTO t VALUES ('A', 'second')`)
      for (let again = 0; again < 2; again++) {
        const run = await pair.run()
        assert.deepEqual([run.inserted, run.rejected, run.error?.code], [0, 1, 'ROWS_REJECTED'])
        assert.deepEqual(await ids(pair), ['a first', 'b b'])
        assert.deepEqual(await right.sql('SELECT key, code FROM _syncline_rejected'), [['["A"]', 'KEY_TAKEN']])
        assert.deepEqual((await pair.verify()).missing, 1)
      }
      await right.sql(`DELETE FROM t WHERE id = 'a'`)
      const freed = await pair.mustRun()
      assert.deepEqual([freed.inserted, freed.updated, freed.deleted], [1, 0, 0])
      assert.deepEqual(await ids(pair), ['A second', 'b b'])
      assert.equal((await pair.verify()).equal, true)
      // What the target deletes of the sync's own rows is repaired.
      await right.sql(`DELETE FROM t WHERE id = 'A'`)
      assert.equal((await pair.mustRun()).inserted, 1)
      const idle = await pair.mustRun()
      assert.deepEqual([idle.inserted, idle.updated, idle.deleted], [0, 0, 0])
    })

    test('the kept key itself, given again, is the sync’s again', async () => {
      await using pair = await postgresToPostgres({ deletes: 'keep', adopt })
      await pair.left.sql(`${prepare}; CREATE TABLE t (id ${adopt ? 'text' : type} PRIMARY KEY, note text)`)
      await pair.left.sql(`INSERT INTO t VALUES ('a', 'first')`)
      await pair.right.sql(prepare)
      if (adopt) await pair.right.sql(`CREATE TABLE t (id ${type} PRIMARY KEY, note text)`)
      await pair.mustRun()
      await pair.left.sql(`DELETE FROM t`)
      await pair.mustRun()
      await pair.left.sql(`INSERT INTO t VALUES ('a', 'again')`)
      await pair.mustRun()
      assert.deepEqual(await ids(pair), ['a again'])
      await pair.right.sql(`DELETE FROM t`)
      assert.equal((await pair.mustRun()).inserted, 1)
      assert.equal((await pair.verify()).equal, true)
    })
  })
