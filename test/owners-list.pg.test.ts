/** The list of rows of an adopted table is its owner's: other projects take nothing of it away. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { resetSync } from '../src/engine/runs/run-sync.ts'
import { assertEqual, sqliteToPostgres, sqliteToSqlite } from './hazards/pair.ts'

describe('point 7: a second project on an adopted table', () => {
  for (const [target, open] of Object.entries({ SQLite: sqliteToSqlite, Postgres: sqliteToPostgres }))
    test(`${target}: its reset, with and without --drop, leaves the owner's list of rows alone, and deletions arrive`, async () => {
      await using pair = await open('none', { adopt: true })
      const table = 'CREATE TABLE t (id integer PRIMARY KEY, note text)'
      await pair.left.sql(`${table}; INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')`)
      await pair.right.sql(table)
      await pair.mustRun()
      for (const drop of [false, true]) await resetSync(pair.sync, { ...pair.project(), id: 'second' }, { drop })
      await pair.left.sql('DELETE FROM t WHERE id = 2')
      assert.equal((await pair.mustRun()).deleted, 1)
      assert.deepEqual(await pair.right.sql('SELECT id FROM t ORDER BY id'), [['1'], ['3']])
      await assertEqual(pair)
    })
})
