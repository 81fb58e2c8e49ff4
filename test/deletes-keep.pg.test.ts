/** `deletes: 'keep'`: what the source deletes stays in the target; what somebody deletes in the target comes back. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { planSync } from '../src/engine/plan.ts'
import { type Pair, sqliteToPostgres, sqliteToSqlite } from './hazards/pair.ts'

const table = 'CREATE TABLE t (id integer PRIMARY KEY, note text)'
const four = `${table}; INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')`

async function rowsAt(side: Pair['right']): Promise<string[]> {
  return (await side.sql('SELECT id, note FROM t ORDER BY id')).map((row) => row.join(' '))
}

for (const [target, open] of Object.entries({ SQLite: sqliteToSqlite, Postgres: sqliteToPostgres }))
  for (const adopt of [false, true])
    describe(`keep, ${target}, ${adopt ? 'an adopted table' : 'a table of ours'}`, () => {
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
