/** Limits of systems: what can't be made is refused before anything is made, and what can be made can also be changed. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ownName } from '../src/connectors/limits.ts'
import { limits } from '../src/connectors/postgres/limits.ts'
import {
  assertEqual,
  openPair,
  type Pair,
  postgresToPostgres,
  sqliteDatabase,
  sqliteToPostgres,
  sqliteToSqlite,
} from './hazards/pair.ts'

const long = 'n'.repeat(64)

async function refused(pair: Pair, what: RegExp): Promise<void> {
  const { error } = await pair.run()
  assert.equal(error?.code, 'CONFIG_INVALID', error?.message)
  assert.match(`${error.message}\n${error.hint}`, what)
}

describe('point 30, hazard 34: names that the system would cut', () => {
  test('hazard 34: a column or table name beyond 63 bytes is refused by name, and nothing is made', async () => {
    await using pair = await sqliteToPostgres('none')
    await pair.left.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, ${long}_a TEXT, ${long}_b TEXT)`)
    await refused(pair, /column n+_a of t is longer than the 63 bytes .*`fields`/s)
    pair.sync = { ...pair.sync, to: { ...pair.sync.to, collection: long } }
    await refused(pair, /target's name n+ is longer than the 63 bytes .*`to`/s)
    const made = await pair.right.sql(`SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace`)
    assert.deepEqual(made, [])
  })

  test('hazard 34: two adopted tables that share the beginning of their names keep lists of their own', async () => {
    const names = [1, 2].map((number) => `${'m'.repeat(60)}_${number}`)
    const [one = '', two = ''] = names
    await using pair = await postgresToPostgres({ adopt: true })
    for (const side of [pair.left, pair.right])
      for (const name of names) await side.sql(`CREATE TABLE ${name} (id int PRIMARY KEY, v text)`)
    for (const name of names)
      await pair.left.sql(`INSERT INTO ${name} SELECT n, 'ours' FROM generate_series(1, 5) AS n`)
    await pair.right.sql(`INSERT INTO ${two} VALUES (100, 'somebody else''s')`)
    const both = async () => {
      for (const name of names)
        await pair.mustRun({
          id: name,
          from: { connection: 'left', collection: name },
          to: { connection: 'right', collection: name },
        })
    }
    await both()
    await pair.left.sql(`INSERT INTO ${one} VALUES (100, 'its own'); DELETE FROM ${two} WHERE id = 5`)
    await both()
    const ids = async (name: string) => (await pair.right.sql(`SELECT id FROM ${name} ORDER BY id`)).flat()
    assert.deepEqual(await ids(one), ['1', '2', '3', '4', '5', '100'])
    assert.deepEqual(await ids(two), ['1', '2', '3', '4', '100'])
    // Whose list it is stands in it.
    const list = ownName('_syncline_rows_', two, limits)
    await pair.right.sql(`COMMENT ON TABLE ${list} IS 'rows of "public"."another"'`)
    const reclaimed = await pair.run({
      id: two,
      from: { connection: 'left', collection: two },
      to: { connection: 'right', collection: two },
    })
    assert.equal(reclaimed.error?.code, 'TARGET_NOT_OURS')
  })

  test('hazard 34: a name of ours fits, is the same each time, and is no other table’s', () => {
    const made = new Set<string>()
    for (const name of ['short', 'é'.repeat(31), `${'x'.repeat(62)}1`, `${'x'.repeat(62)}2`, '📦'.repeat(15)]) {
      const own = ownName('_syncline_rows_', name, limits)
      assert.ok(Buffer.byteLength(own) <= 63 && own.isWellFormed(), own)
      assert.equal(ownName('_syncline_rows_', name, limits), own)
      made.add(own)
    }
    assert.equal(made.size, 5)
    assert.ok(made.has('_syncline_rows_short'))
  })
})

describe('point 41: what a system can’t make', () => {
  test('a column of a name that every Postgres table has', async () => {
    await using pair = await sqliteToPostgres('none')
    await pair.left.sql('CREATE TABLE t (id INTEGER PRIMARY KEY, ctid TEXT)')
    await refused(pair, /column ctid of t has the name of a column that every table of Postgres has/)
  })

  test('more columns than Postgres has, and a key of more columns than its indexes have', async () => {
    await using pair = await sqliteToPostgres('none')
    const columns = Array.from({ length: 1700 }, (_, at) => `c${at} INTEGER`)
    await pair.left.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, ${columns})`)
    await refused(pair, /1701 columns, and a table of Postgres has at most 1600/)
    const parts = Array.from({ length: 33 }, (_, at) => `k${at}`)
    await pair.left.sql(
      `DROP TABLE t; CREATE TABLE t (${parts.map((name) => `${name} INTEGER NOT NULL`)}, PRIMARY KEY (${parts}))`,
    )
    await refused(pair, /key of t has 33 columns, and one of Postgres has at most 32/)
  })

  test('columns that SQLite takes for one, and tables that it keeps for itself', async () => {
    await using source = await postgresToPostgres()
    await source.left.sql('CREATE TABLE t (id int PRIMARY KEY, "Name" text, name text)')
    const left = { ...source.left, [Symbol.asyncDispose]: async () => {} }
    await using pair = await openPair(left, await sqliteDatabase())
    await refused(pair, /SQLite takes columns Name and name of t for one/)
    pair.sync = { ...pair.sync, to: { ...pair.sync.to, collection: 'sqlite_t' } }
    await refused(pair, /SQLite keeps tables with names like sqlite_t for itself/)
  })
})

test('point 41: a SQLite table of 1900 columns can be changed as well as made, and filtered by 3000 values', async () => {
  await using pair = await sqliteToSqlite('none', {
    where: { id: { in: Array.from({ length: 3000 }, (_, at) => at) } },
  })
  const names = Array.from({ length: 1900 }, (_, at) => `c${at}`)
  await pair.left.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, ${names.map((name) => `${name} INTEGER`)})`)
  await pair.left.sql(`INSERT INTO t (id, c0, c1899) VALUES (1, 1, 1), (2, 2, 2), (5000, 0, 0)`)
  await pair.mustRun()
  await pair.left.sql('UPDATE t SET c1899 = 7 WHERE id = 2')
  const { updated } = await pair.mustRun()
  assert.equal(updated, 1)
  await assertEqual(pair)
})
