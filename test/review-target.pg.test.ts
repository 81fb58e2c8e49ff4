/** A target that somebody else made, changed or dropped; the same for SQLite and Postgres. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Sync } from '../src/core/sync.ts'
import { planSync } from '../src/engine/one-way/plan.ts'
import { verifySync } from '../src/engine/one-way/verify.ts'
import { type Pair, postgresToPostgres, postgresToSqlite, sqliteToPostgres, sqliteToSqlite } from './hazards/pair.ts'

const kinds = [
  { target: 'SQLite', open: sqliteToSqlite },
  { target: 'Postgres', open: sqliteToPostgres },
] as const

const three = `CREATE TABLE t (id integer PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')`

async function rowsAt(side: Pair['right']): Promise<string[]> {
  return (await side.sql('SELECT id, note FROM t ORDER BY id')).map((row) => row.join(' '))
}

async function planned(pair: Pair, over: Partial<Sync> = {}): Promise<number[]> {
  const { inserts, updates, deletes } = await planSync({ ...pair.sync, ...over }, pair.project())
  return [inserts, updates, deletes]
}

async function verified(pair: Pair, over: Partial<Sync> = {}, repair = false): Promise<number[]> {
  const { missing, extra, different } = await verifySync({ ...pair.sync, ...over }, pair.project(), {
    repair,
    onProgress: () => {},
  })
  return [missing, extra, different]
}

const theirs = `CREATE TABLE t (id integer PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'a'), (2, 'theirs'), (99, 'theirs')`

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

    test('a table to be adopted is planned and verified before the first run: nothing in it is extra', async () => {
      await using pair = await open('none', { adopt: true })
      await pair.left.sql(three)
      await pair.right.sql(theirs)
      assert.deepEqual(await planned(pair), [1, 1, 0])
      assert.deepEqual(await verified(pair), [1, 0, 1])
      assert.deepEqual(await verified(pair, {}, true), [0, 0, 0])
      assert.deepEqual(await rowsAt(pair.right), ['1 a', '2 b', '3 c', '99 theirs'])
    })

    test('a row of an adopted table that was only found equal is no deletion, neither planned nor done', async () => {
      await using pair = await open('none', { adopt: true })
      await pair.left.sql(three)
      await pair.right.sql(theirs)
      await pair.mustRun()
      await pair.left.sql(`DELETE FROM t WHERE id IN (1, 3)`)
      assert.deepEqual(await planned(pair), [0, 0, 1])
      assert.equal((await pair.mustRun()).deleted, 1)
      assert.deepEqual(await planned(pair), [0, 0, 0])
      assert.deepEqual(await rowsAt(pair.right), ['1 a', '2 b', '99 theirs'])
    })

    test('a row that is found equal in an adopted table does not hide a deletion of the same run', async () => {
      await using pair = await open('triggers', { adopt: true })
      await pair.left.sql(three)
      await pair.right.sql(theirs)
      await pair.mustRun()
      await pair.left.sql(`DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (99, 'theirs')`)
      assert.equal((await pair.mustRun()).deleted, 1)
      assert.deepEqual(await rowsAt(pair.right), ['1 a', '2 b', '99 theirs'])
    })

    test('an adopted table stays adopted when the sync no longer says so', async () => {
      await using pair = await open('none', { adopt: true })
      await pair.left.sql(three)
      await pair.right.sql(theirs)
      await pair.mustRun()
      assert.deepEqual(await planned(pair, { adopt: false }), [0, 0, 0])
      await pair.left.sql(`DELETE FROM t WHERE id = 3`)
      await pair.mustRun({ adopt: false, mode: 'full' })
      assert.deepEqual(await rowsAt(pair.right), ['1 a', '2 b', '99 theirs'])
    })

    test('a table that the sync made is its own, though the sync says later that it adopts', async () => {
      await using pair = await open('none')
      await pair.left.sql(three)
      await pair.mustRun()
      await pair.left.sql(`DELETE FROM t WHERE id = 3`)
      assert.deepEqual(await planned(pair, { adopt: true }), [0, 0, 1])
      await pair.mustRun({ adopt: true })
      assert.deepEqual(await rowsAt(pair.right), ['1 a', '2 b'])
    })

    test('plan and verify work before marking and a new column are in the target', async () => {
      await using pair = await open('none')
      await pair.left.sql(three)
      await pair.mustRun()
      assert.deepEqual(await planned(pair, { deletes: 'mark' }), [0, 0, 0])
      assert.deepEqual(await verified(pair, { deletes: 'mark' }), [0, 0, 0])
      await pair.left.sql(`ALTER TABLE t ADD COLUMN more text`)
      await pair.left.sql(`UPDATE t SET more = 'x' WHERE id = 1`)
      assert.deepEqual(await planned(pair), [0, 1, 0])
      assert.deepEqual(await verified(pair), [0, 0, 1])
      assert.deepEqual(await verified(pair, {}, true), [0, 0, 0])
    })

    test('a repair makes a table that is not there, and what is refused stays different', async () => {
      await using pair = await open('none', { adopt: true })
      await pair.left.sql(three)
      await pair.right.sql(`CREATE TABLE t (id integer PRIMARY KEY, note text CHECK (note <> 'b'))`)
      assert.deepEqual(await verified(pair, {}, true), [1, 0, 0])
      await pair.right.sql('DROP TABLE t')
      assert.deepEqual(await verified(pair, {}, true), [0, 0, 0])
      assert.deepEqual(await rowsAt(pair.right), ['1 a', '2 b', '3 c'])
    })

    test('a marked row that comes back is an insert, as it was planned', async () => {
      await using pair = await open('none', { deletes: 'mark' })
      await pair.left.sql(three)
      await pair.mustRun()
      await pair.left.sql(`DELETE FROM t WHERE id = 2`)
      assert.equal((await pair.mustRun()).deleted, 1)
      await pair.left.sql(`INSERT INTO t VALUES (2, 'back')`)
      assert.deepEqual(await planned(pair), [1, 0, 0])
      const { inserted, updated } = await pair.mustRun()
      assert.deepEqual([inserted, updated], [1, 0])
    })

    test('marking is refused when the source has a field of the mark’s name', async () => {
      await using pair = await open('none', { deletes: 'mark' })
      await pair.left.sql('CREATE TABLE t (id integer PRIMARY KEY, _deleted_at text)')
      assert.equal((await pair.run()).error?.code, 'CONFIG_INVALID')
      const fields = new Map([
        ['id', { kind: 'from', from: 'id' } as const],
        ['gone', { kind: 'from', from: '_deleted_at' } as const],
      ])
      await pair.mustRun({ fields })
    })
  })

describe('values that Postgres takes for one', () => {
  for (const [type, before, after] of [
    ['interval', '1 mon', '30 days'],
    ['numrange', '[1,2)', '[1.0,2)'],
  ] as const) {
    test(`a key of type ${type} that is spelled anew is an update, planned and done`, async () => {
      await using pair = await postgresToPostgres()
      await pair.left.sql(`CREATE TABLE t (id ${type} PRIMARY KEY, note text); INSERT INTO t VALUES ('${before}', 'a')`)
      await pair.mustRun()
      await pair.left.sql(`UPDATE t SET id = '${after}'`)
      assert.deepEqual(await planned(pair), [0, 1, 0])
      const { inserted, updated, deleted } = await pair.mustRun()
      assert.deepEqual([inserted, updated, deleted], [0, 1, 0])
      assert.deepEqual(await rowsAt(pair.right), [`${after} a`])
    })

    test(`a value of type ${type} that is spelled anew is an update, planned and done`, async () => {
      await using pair = await postgresToPostgres()
      await pair.left.sql(`CREATE TABLE t (id int PRIMARY KEY, note ${type}); INSERT INTO t VALUES (1, '${before}')`)
      await pair.mustRun()
      await pair.left.sql(`UPDATE t SET note = '${after}'`)
      assert.deepEqual(await planned(pair), [0, 1, 0])
      assert.equal((await pair.mustRun()).updated, 1)
      assert.deepEqual(await rowsAt(pair.right), [`1 ${after}`])
    })
  }
})

test('a Postgres table that generates its identity always is adopted', async () => {
  await using pair = await sqliteToPostgres('none', { adopt: true })
  await pair.left.sql(three)
  await pair.right.sql('CREATE TABLE t (id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY, note text)')
  assert.equal((await pair.mustRun()).inserted, 3)
  assert.deepEqual(await rowsAt(pair.right), ['1 a', '2 b', '3 c'])
})

test('a column of a SQLite target that the next run widens is planned and verified as it will be', async () => {
  await using pair = await postgresToSqlite()
  await pair.left.sql(
    `CREATE TABLE t (id bigint PRIMARY KEY, n bigint); INSERT INTO t VALUES (1, 9007199254740992), (2, 5), (10, 7)`,
  )
  await pair.mustRun()
  await pair.left.sql(`ALTER TABLE t ALTER id TYPE numeric, ALTER n TYPE numeric; UPDATE t SET n = 6 WHERE id = 2`)
  assert.deepEqual(await planned(pair), [0, 1, 0])
  assert.deepEqual(await verified(pair), [0, 0, 1])
  assert.equal((await pair.mustRun()).updated, 1)
  assert.deepEqual(await verified(pair), [0, 0, 0])
})

describe('a Postgres target whose column people use', () => {
  const narrow = 'CREATE TABLE t (id integer PRIMARY KEY, note varchar(5)); INSERT INTO t VALUES (1, $$a$$)'
  const wider = 'ALTER TABLE t ALTER note TYPE varchar(9)'
  for (const { by, use, drop } of [
    { by: 'a view', use: 'CREATE VIEW seen AS SELECT note FROM t', drop: 'DROP VIEW seen' },
    {
      by: 'a generated column',
      use: 'ALTER TABLE t ADD loud text GENERATED ALWAYS AS (upper(note)) STORED',
      drop: 'ALTER TABLE t DROP loud',
    },
    {
      by: 'a rule',
      use: 'CREATE RULE quiet AS ON DELETE TO t WHERE OLD.note IS NULL DO INSTEAD NOTHING',
      drop: 'DROP RULE quiet ON t',
    },
  ]) {
    test(`widening it, used by ${by}, is held with what to do, and done when that is gone`, async () => {
      await using pair = await postgresToPostgres()
      await pair.left.sql(narrow)
      await pair.mustRun()
      await pair.right.sql(use)
      await pair.left.sql(`${wider}; INSERT INTO t VALUES (2, 'longer')`)
      const { status, error } = await pair.run()
      assert.deepEqual([status, error?.code], ['held', 'SCHEMA_DRIFT'])
      assert.match(error?.message ?? '', /widen column note from character varying\(5\) to character varying\(9\)/)
      assert.match(error?.hint ?? '', /syncline run t/)
      assert.deepEqual(await rowsAt(pair.right), ['1 a'])
      await pair.right.sql(drop)
      await pair.mustRun()
      assert.deepEqual(await rowsAt(pair.right), ['1 a', '2 longer'])
    })
  }

  test('a new column that people have made already is held', async () => {
    await using pair = await postgresToPostgres()
    await pair.left.sql(three)
    await pair.mustRun()
    await pair.right.sql('ALTER TABLE t ADD more integer')
    await pair.left.sql('ALTER TABLE t ADD more text')
    const { status, error } = await pair.run()
    assert.deepEqual([status, error?.code], ['held', 'SCHEMA_DRIFT'])
    assert.match(error?.message ?? '', /add column more .*already exists/)
  })
})

for (const { target, open, generated, identity } of [
  { target: 'SQLite', open: sqliteToSqlite, generated: 'n integer AS (id * 2) STORED', identity: false },
  {
    target: 'Postgres',
    open: sqliteToPostgres,
    generated: 'n integer GENERATED ALWAYS AS (id * 2) STORED',
    identity: true,
  },
] as const)
  describe(`an adopted ${target} table with a column that it generates`, () => {
    const four = three.replace('note text', 'note text, n integer').replaceAll(/'(.)'\)/g, "'$1', 7)")
    const withoutN = new Map(['id', 'note'].map((name) => [name, { kind: 'from', from: name } as const]))
    const tables = [generated, ...(identity ? ['n integer GENERATED ALWAYS AS IDENTITY'] : [])]

    for (const column of tables) {
      test(`${column}: is refused where the sync would write it, and left alone where not`, async () => {
        await using pair = await open('none', { adopt: true })
        await pair.left.sql(four)
        await pair.right.sql(`CREATE TABLE t (id integer PRIMARY KEY, note text, ${column})`)
        await assert.rejects(planned(pair), { code: 'CONFIG_INVALID', message: /generates .*\bn\b/ })
        const { error } = await pair.run()
        assert.equal(error?.code, 'CONFIG_INVALID')
        assert.match(error?.hint ?? '', /fields/)
        assert.equal((await pair.mustRun({ fields: withoutN })).inserted, 3)
        await pair.left.sql(`UPDATE t SET note = 'new' WHERE id = 1`)
        assert.equal((await pair.mustRun({ fields: withoutN })).updated, 1)
        assert.equal((await pair.run()).error?.code, 'CONFIG_INVALID', 'also when the field comes later')
      })
    }

    test('a column of theirs that the sync maps later is filled', async () => {
      await using pair = await open('none', { adopt: true })
      await pair.left.sql(four)
      await pair.right.sql('CREATE TABLE t (id integer PRIMARY KEY, note text, n integer)')
      await pair.mustRun({ fields: withoutN })
      assert.deepEqual(await planned(pair), [0, 3, 0])
      assert.equal((await pair.mustRun()).updated, 3)
      assert.deepEqual(await verified(pair), [0, 0, 0])
      assert.equal((await pair.mustRun()).updated, 0)
    })
  })
