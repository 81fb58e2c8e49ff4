/** A target that somebody else made, changed or dropped; the same for SQLite and Postgres. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Pair, sqliteToPostgres, sqliteToSqlite } from './hazards/pair.ts'

const kinds = [
  { target: 'SQLite', open: sqliteToSqlite },
  { target: 'Postgres', open: sqliteToPostgres },
] as const

const three = `CREATE TABLE t (id integer PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')`

async function rowsAt(side: Pair['right']): Promise<string[]> {
  return (await side.sql('SELECT id, note FROM t ORDER BY id')).map((row) => row.join(' '))
}

for (const { target, open } of kinds)
  describe(`${target} as the target`, () => {
    test('a target table dropped by hand is copied anew, all of it', async () => {
      await using pair = await open('triggers')
      await pair.left.sql(three)
      await pair.mustRun()
      await pair.right.sql('DROP TABLE t')
      await pair.left.sql(`INSERT INTO t VALUES (4, 'd')`)
      const run = await pair.mustRun()
      assert.equal(run.inserted, 4)
      assert.deepEqual(await rowsAt(pair.right), ['1 a', '2 b', '3 c', '4 d'])
    })
  })
