import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { sqliteToSqlite } from '../../../test/hazards/pair.ts'
import { SyncError } from '../../core/error.ts'
import { attempt, codes, translate } from './errors.ts'

describe('errors of SQLite', () => {
  test('every result code becomes an error that says what, on which file and what to do', () => {
    // All primary codes; 0, 100 and 101 are no errors. One that is new to us is told as a refusal.
    for (let code = 1; code <= 29; code++) {
      const told = translate(Object.assign(new Error('so it is'), { errcode: code | 256 }), './shop.db')
      assert.ok(told instanceof SyncError)
      assert.match(told.message, /\.\/shop\.db: so it is \(SQLite \d+\)$/)
      assert.ok((told.hint ?? '').length > 10)
      // SQLite is used wrongly by nobody but us.
      assert.equal(told.code === 'INTERNAL', [21, 25].includes(code), String(code))
      assert.equal(code in codes, code < 29)
    }
  })

  test('those of a broken trigger or view are no bugs of ours', () => {
    using database = new DatabaseSync(':memory:')
    database.exec(`CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE VIEW broken AS SELECT no_such_function(id) FROM t`)
    for (const sql of ['SELECT * FROM broken', 'SELECT abs(-9223372036854775808)', 'SELECT json(1, 2)'])
      assert.throws(() => attempt('f.db', () => database.prepare(sql).all()), { code: 'DATABASE_REFUSED' })
  })

  test('a row that a trigger refuses is rejected, and the others go in', async () => {
    await using pair = await sqliteToSqlite('none', { adopt: true })
    await pair.left.sql(
      `CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')`,
    )
    await pair.right.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT);
      CREATE TRIGGER refuse BEFORE INSERT ON t WHEN NEW.note = 'b' BEGIN SELECT RAISE(ABORT, 'no b here'); END`)
    const { error, rejected } = await pair.run()
    assert.deepEqual([error?.code, rejected], ['ROWS_REJECTED', 1])
    assert.deepEqual((await pair.right.sql('SELECT id FROM t ORDER BY id')).flat(), ['1', '3'])
  })
})
