/** Rows that the target takes without an error and does not keep, or does not give up: the run must end, and say so. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { deadLetters } from '../src/engine/runs/dead-letters.ts'
import { type Pair, sqliteToPostgres, sqliteToSqlite } from './hazards/pair.ts'

const table = 'CREATE TABLE t (id integer PRIMARY KEY, note text)'
const three = `${table}; INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')`

const kinds = {
  SQLite: {
    open: sqliteToSqlite,
    swallow: (event: 'INSERT' | 'UPDATE' | 'DELETE', when: string) =>
      `CREATE TRIGGER swallow BEFORE ${event} ON t WHEN ${when} BEGIN SELECT RAISE(IGNORE); END`,
    dropTrigger: 'DROP TRIGGER swallow',
  },
  Postgres: {
    open: sqliteToPostgres,
    swallow: (event: 'INSERT' | 'UPDATE' | 'DELETE', when: string) =>
      `CREATE OR REPLACE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
       CREATE TRIGGER swallow BEFORE ${event} ON t FOR EACH ROW WHEN (${when}) EXECUTE FUNCTION swallow()`,
    dropTrigger: 'DROP TRIGGER swallow ON t',
  },
} as const

async function idsAt(side: Pair['right']): Promise<number[]> {
  return (await side.sql('SELECT id FROM t ORDER BY id')).map(([id]) => Number(id))
}

async function refused(pair: Pair, over: Partial<Pair['sync']> = {}): Promise<readonly unknown[]> {
  const letters = await deadLetters({ ...pair.sync, ...over }, pair.project())
  return letters.map(({ key, code, message }) => ({ key, code, message }))
}

const notKept = (...ids: number[]) =>
  ids.map((id) => ({ key: { id }, code: 'ROW_NOT_KEPT', message: 'the table took the row and did not keep it' }))

for (const [target, { open, swallow, dropTrigger }] of Object.entries(kinds))
  describe(`points 3 and 31, hazard 30: ${target} as the target`, () => {
    test('a row that a trigger swallows while the table is followed is rejected, others are applied, and it goes in later', async () => {
      await using pair = await open('triggers')
      await pair.left.sql(three)
      await pair.mustRun()
      await pair.right.sql(swallow('INSERT', 'new.id > 3'))
      await pair.left.sql(`INSERT INTO t VALUES (4, 'd'), (5, 'e'); UPDATE t SET note = 'A' WHERE id = 1`)
      for (let again = 0; again < 2; again++) {
        const run = await pair.run()
        assert.deepEqual([run.status, run.error?.code, run.inserted, run.rejected], ['failed', 'ROWS_REJECTED', 0, 2])
        assert.deepEqual(await refused(pair), notKept(4, 5))
      }
      assert.deepEqual(await pair.right.sql('SELECT note FROM t WHERE id = 1'), [['A']])
      await pair.right.sql(dropTrigger)
      const run = await pair.mustRun()
      assert.deepEqual([run.inserted, run.rejected], [2, 0])
      assert.deepEqual(await idsAt(pair.right), [1, 2, 3, 4, 5])
    })

    test('a row that a trigger swallows in a first copy into an adopted table', async () => {
      await using pair = await open('none', { adopt: true })
      await pair.left.sql(three)
      await pair.right.sql(`${table}; ${swallow('INSERT', 'new.id = 2')}`)
      const run = await pair.run()
      assert.deepEqual([run.status, run.inserted, run.rejected], ['failed', 2, 1])
      assert.deepEqual(await refused(pair, { adopt: true }), notKept(2))
      assert.deepEqual(await idsAt(pair.right), [1, 3])
    })

    test('a row that a trigger does not let go is rejected, and goes later', async () => {
      await using pair = await open('triggers')
      await pair.left.sql(three)
      await pair.mustRun()
      await pair.right.sql(swallow('DELETE', 'old.id = 2'))
      await pair.left.sql('DELETE FROM t WHERE id IN (2, 3)')
      for (let again = 0; again < 2; again++) {
        const run = await pair.run()
        assert.deepEqual([run.status, run.error?.code, run.rejected], ['failed', 'ROWS_REJECTED', 1])
        const message = 'the table was asked to delete the row and kept it'
        assert.deepEqual(await refused(pair), [{ key: { id: 2 }, code: 'ROW_NOT_DELETED', message }])
        assert.deepEqual(await idsAt(pair.right), [1, 2])
      }
      await pair.right.sql(dropTrigger)
      assert.equal((await pair.mustRun()).deleted, 1)
      assert.deepEqual(await idsAt(pair.right), [1])
    })
  })

test('point 31, hazard 30: rows of an adopted SQLite table that push each other out end as rejected rows', async () => {
  await using pair = await sqliteToSqlite('none', { adopt: true })
  await pair.left.sql(`${table}; INSERT INTO t VALUES (1, 'same'), (2, 'same'), (3, 'c')`)
  await pair.right.sql('CREATE TABLE t (id integer PRIMARY KEY, note text UNIQUE ON CONFLICT REPLACE)')
  const run = await pair.run()
  assert.deepEqual([run.status, run.rejected], ['failed', 1])
  assert.equal((await idsAt(pair.right)).length, 2)
})

test('point 31, hazard 39: rows that ON CONFLICT IGNORE drops are not reported as inserted', async () => {
  await using pair = await sqliteToSqlite('none', { adopt: true })
  await pair.left.sql(`${table}; INSERT INTO t VALUES (1, 'same'), (2, 'same'), (3, 'c')`)
  await pair.right.sql('CREATE TABLE t (id integer PRIMARY KEY, note text UNIQUE ON CONFLICT IGNORE)')
  const run = await pair.run()
  assert.deepEqual([run.status, run.inserted, run.rejected], ['failed', 2, 1])
  assert.deepEqual(await refused(pair, { adopt: true }), [
    { key: { id: 2 }, code: 'VALUE_TAKEN', message: 'UNIQUE constraint failed: t.note' },
  ])
})
