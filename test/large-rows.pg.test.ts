/** Rows that can't be told as they are: too large, or with characters that have no form in UTF-8. Each is rejected by its key, and the others go on. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { RunRecord } from '../src/core/run.ts'
import { planSync } from '../src/engine/one-way/plan.ts'
import { type Database, openPair, type Pair, postgresDatabase, sqliteDatabase } from './hazards/pair.ts'
import { openTwoWay } from './two-way/pair.ts'
import { field } from './two-way/world.ts'

/** A row that is larger is rejected, in these tests. */
const LIMIT = 100_000

/** What a run counts, and what the others say of the same rows: none that is rejected is ever equal. */
async function outcome(pair: Pair, run: RunRecord) {
  const { equal, unreadable, missing, different } = await pair.verify()
  return {
    inserted: run.inserted,
    rejected: run.rejected,
    code: run.error?.code,
    equal,
    unreadable,
    missing,
    different,
  }
}
async function rejected(pair: Pair): Promise<string[]> {
  const known = pair.left.sql === pair.right.sql ? pair.left : pair.right
  const rows = await known.sql('SELECT key, message FROM _syncline_rejected ORDER BY key')
  return rows.map((row) => row.join(' '))
}

const large = `repeat('x', ${LIMIT})`
const sqliteLarge = `replace(hex(zeroblob(${LIMIT})), '0', 'x')`

const sources = {
  Postgres: () => postgresDatabase(undefined, LIMIT),
  SQLite: () => sqliteDatabase('none', LIMIT),
  'SQLite, followed by triggers': () => sqliteDatabase('triggers', LIMIT),
} as const
const targets = { Postgres: () => postgresDatabase(), SQLite: () => sqliteDatabase() } as const

describe('point 40: a row that is too large is a rejected row, the others go on', () => {
  // The large value stands before the key and behind it.
  for (const [source, openSource] of Object.entries(sources))
    for (const [target, openTarget] of Object.entries(targets))
      for (const columns of [
        'id integer PRIMARY KEY, name text, data text',
        'data text, name text, id integer PRIMARY KEY',
      ])
        test(`from ${source} to ${target}, (${columns})`, async () => {
          await using pair = await openPair(await openSource(), await openTarget())
          const { left, right } = pair
          const huge = source === 'Postgres' ? large : sqliteLarge
          await left.sql(`CREATE TABLE t (${columns})`)
          await left.sql(`INSERT INTO t (id, name, data) VALUES (1, 'a', 'small'), (2, 'b', ${huge}), (3, 'c', NULL)`)
          const before = await planSync(pair.sync, pair.project())
          assert.deepEqual([before.inserts, before.rejected], [2, 1])
          assert.deepEqual(await outcome(pair, await pair.run()), {
            ...{ inserted: 2, rejected: 1, code: 'ROWS_REJECTED' },
            ...{ equal: false, unreadable: 1, missing: 0, different: 0 },
          })
          assert.deepEqual(await right.sql('SELECT id, name FROM t ORDER BY id'), [
            ['1', 'a'],
            ['3', 'c'],
          ])
          assert.match((await rejected(pair)).join('\n'), /^\[2\] the row is too large to be read/)
          // A row that grows keeps what the target has of it; one that shrinks goes in.
          await left.sql(`UPDATE t SET data = ${huge}, name = 'grown' WHERE id = 1`)
          await left.sql(`UPDATE t SET data = 'shrunk' WHERE id = 2`)
          const second = await pair.run()
          assert.deepEqual([second.inserted, second.rejected], [1, 1])
          assert.deepEqual(await right.sql('SELECT id, name FROM t ORDER BY id'), [
            ['1', 'a'],
            ['2', 'b'],
            ['3', 'c'],
          ])
          await left.sql(`UPDATE t SET data = 'small again' WHERE id = 1`)
          await pair.mustRun()
          assert.equal((await pair.verify()).equal, true)
        })

  test('a table without rowids and a view, whose pages are read in one go', async () => {
    for (const kind of ['WITHOUT ROWID', 'view']) {
      await using pair = await openPair(await sqliteDatabase('none', LIMIT), await postgresDatabase(), { key: ['id'] })
      const { left } = pair
      await left.sql(`CREATE TABLE s (id TEXT PRIMARY KEY NOT NULL, data TEXT)${kind === 'view' ? '' : kind}`)
      await left.sql(kind === 'view' ? 'CREATE VIEW t AS SELECT id, data FROM s' : 'ALTER TABLE s RENAME TO t')
      const table = kind === 'view' ? 's' : 't'
      await left.sql(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
        INSERT INTO ${table} SELECT printf('%05d', i), iif(i % 1000 = 700, ${sqliteLarge}, 'x') FROM n`)
      assert.deepEqual(await outcome(pair, await pair.run()), {
        ...{ inserted: 2498, rejected: 2, code: 'ROWS_REJECTED' },
        ...{ equal: false, unreadable: 2, missing: 0, different: 0 },
      })
    }
  })

  test('a key that is too long to be told counts as a row of its own', async () => {
    await using pair = await openPair(await sqliteDatabase('none', 200_000), await postgresDatabase())
    await pair.left.sql('CREATE TABLE t (id TEXT PRIMARY KEY, data TEXT)')
    const long = `replace(hex(zeroblob(70000)), '0', 'x')`
    await pair.left.sql(`INSERT INTO t VALUES ('a', 'b'), (${long} || 1, ${long}), (${long} || 2, ${long})`)
    const run = await pair.run()
    assert.deepEqual([run.inserted, run.rejected], [1, 2])
  })
})

describe('point 40: of two sides a row that is too large is a rejected row', () => {
  for (const [source, openSource] of Object.entries(sources))
    test(`${source} beside SQLite`, async () => {
      const left = await openSource()
      const right = await sqliteDatabase()
      for (const side of [left, right]) await side.sql('CREATE TABLE contacts (id integer PRIMARY KEY, v text)')
      await using pair = openTwoWay(left, right, { fields: [field('id'), field('v')] })
      const huge = source === 'Postgres' ? large : sqliteLarge
      await left.sql(`INSERT INTO contacts VALUES (1, 'a'), (2, ${huge}), (3, 'c')`)
      const run = await pair.run()
      assert.deepEqual([run.inserted, run.rejected, run.error?.code], [2, 1, 'ROWS_REJECTED'])
      // A paired row that grows keeps what the other side has, also where somebody edits that.
      await left.sql(`UPDATE contacts SET v = ${huge} WHERE id = 1`)
      await right.sql(`UPDATE contacts SET v = 'theirs' WHERE id = 1; UPDATE contacts SET v = 'd' WHERE id = 3`)
      const second = await pair.run()
      assert.deepEqual([second.updated, second.rejected], [1, 2])
      assert.deepEqual(await pair.read('right', 'SELECT id, v FROM contacts ORDER BY id'), [
        ['1', 'theirs'],
        ['3', 'd'],
      ])
      const verified = await pair.verify()
      assert.deepEqual([verified.equal, verified.left, verified.right], [false, 3, 2])
      await left.sql(`UPDATE contacts SET v = 'small' WHERE id < 3`)
      await pair.run()
      assert.equal((await pair.verify()).equal, true)
    })
})

describe('a row that is too large and whose key is spelled in another way than its value', () => {
  const keys = {
    'a decimal with zeros': ['numeric', "'1.50'", 'Postgres'],
    'a UUID in upper case': ['uuid', "'A0000000-0000-4000-8000-00000000000B'", 'SQLite'],
  } as const
  for (const [name, [type, key, source]] of Object.entries(keys))
    test(`${name}: the row is rejected, whichever side changed`, async () => {
      const left = await sources[source]()
      const right = await postgresDatabase()
      for (const side of [left, right])
        await side.sql(`CREATE TABLE contacts (id ${type} PRIMARY KEY, email text, v text)`)
      await using pair = openTwoWay(left, right, {
        fields: ['id', 'email', 'v'].map((one) => field(one)),
        match: [{ field: 'email', by: null }],
      })
      await left.sql(`INSERT INTO contacts VALUES (${key}, 'e', 'small')`)
      assert.equal(await pair.writes(), 1)
      await left.sql(`UPDATE contacts SET v = ${source === 'Postgres' ? large : sqliteLarge}`)
      await right.sql("UPDATE contacts SET v = 'edited'")
      for (let again = 0; again < 2; again++) {
        const { inserted, updated, deleted, rejected } = await pair.run()
        assert.deepEqual([inserted, updated, deleted, rejected], [0, 0, 0, 1])
      }
      assert.equal((await pair.conflicts()).length, 0)
      assert.deepEqual(await pair.read('right', 'SELECT v FROM contacts'), [['edited']])
    })
})

describe('point 40 and 42: a row that the server can’t send is a rejected row', () => {
  // WIN1252 has no character 129, and Postgres takes it all the same.
  const open = async (target: Database, over = {}) => openPair(await postgresDatabase('WIN1252'), target, over)
  const fill = `INSERT INTO t SELECT i, CASE WHEN i IN (7, 2000) THEN 'a' || chr(129) ELSE 'ü' || i END FROM generate_series(1, 3000) AS i`

  for (const [target, openTarget] of Object.entries(targets))
    test(`to ${target}: in a first copy, a comparison, and in what is followed`, async () => {
      await using pair = await open(await openTarget())
      const { left, right } = pair
      await left.sql('CREATE TABLE t (id integer PRIMARY KEY, name text)')
      await left.sql(fill)
      const before = await planSync(pair.sync, pair.project())
      assert.deepEqual([before.inserts, before.rejected], [2998, 2])
      const expected = { rejected: 2, code: 'ROWS_REJECTED', equal: false, unreadable: 2, missing: 0, different: 0 }
      assert.deepEqual(await outcome(pair, await pair.run()), { inserted: 2998, ...expected })
      assert.match((await rejected(pair)).join('\n'), /^\[2000\] .*no equivalent in encoding "UTF8"\n\[7\] /)
      await left.sql(`UPDATE t SET name = 'mended' WHERE id = 7; UPDATE t SET name = chr(129) WHERE id = 9`)
      assert.deepEqual(await outcome(pair, await pair.run()), { inserted: 1, ...expected })
      assert.deepEqual(await outcome(pair, await pair.run({ mode: 'full' })), { inserted: 0, ...expected })
      assert.deepEqual(await right.sql('SELECT count(*) FROM t'), [['2999']])
    })

  test('of two sides, too', async () => {
    const left = await postgresDatabase('WIN1252')
    const right = await postgresDatabase()
    for (const side of [left, right]) await side.sql('CREATE TABLE contacts (id int PRIMARY KEY, v text)')
    await using pair = openTwoWay(left, right, { fields: [field('id'), field('v')] })
    await left.sql(`INSERT INTO contacts VALUES (1, 'ü'), (2, 'a' || chr(129)), (3, 'c')`)
    const run = await pair.run()
    assert.deepEqual([run.inserted, run.rejected, run.error?.code], [2, 1, 'ROWS_REJECTED'])
    assert.equal((await pair.verify()).equal, false)
    await left.sql(`UPDATE contacts SET v = 'b' WHERE id = 2`)
    assert.equal(await pair.writes(), 1)
    assert.equal((await pair.verify()).equal, true)
  })

  test('the newest row, of more than 1 GB as text, does not stand in the way of a full comparison', async () => {
    await using pair = await openPair(await postgresDatabase(), await sqliteDatabase())
    await pair.left.sql('CREATE TABLE t (id integer PRIMARY KEY, body bytea)')
    await pair.left.sql(`INSERT INTO t SELECT i, 'abc' FROM generate_series(1, 3) AS i`)
    assert.equal((await pair.run()).inserted, 3)
    await pair.left.sql(`INSERT INTO t VALUES (4, convert_to(repeat('x', 600000000), 'UTF8'))`)
    await pair.run()
    await pair.left.sql(`UPDATE t SET body = 'abcd' WHERE id = 1; UPDATE t SET id = 5 WHERE id = 4`)
    const full = await pair.run({ mode: 'full' })
    assert.equal(full.error?.code, 'ROWS_REJECTED', full.error?.message)
  })
})
