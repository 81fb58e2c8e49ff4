/** Text is compared by its bytes, whatever the collation of a column says. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { keysSql } from '../src/connectors/postgres/loose.ts'
import { deadLetters } from '../src/engine/runs/dead-letters.ts'
import { assertEqual, type PostgresDatabase, postgresDatabase, postgresToPostgres } from './hazards/pair.ts'
import { openTwoWay } from './two-way/pair.ts'
import { field } from './two-way/world.ts'

const ci = `CREATE EXTENSION IF NOT EXISTS citext;
  CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);`
const looseTypes = ['text COLLATE ci', 'varchar(20) COLLATE ci', 'citext'] as const
const context = {
  signal: new AbortController().signal,
  clock: { now: () => Date.now(), sleep: async () => {} },
  random: Math.random,
  log: () => {},
}
const all = { guard: { maxDeletes: 10, maxDeleteShare: 1 } } as const

test('point 32, hazard 33: a change of case arrives in columns that compare without case', async () => {
  await using pair = await postgresToPostgres({ adopt: true })
  await pair.left.sql(`CREATE TABLE t (id int PRIMARY KEY, name text, nick varchar(30), short text);
    INSERT INTO t VALUES (1, 'mcdonald', 'mac', 'a'), (2, 'bob', 'b', 'b')`)
  await pair.right.sql(`CREATE EXTENSION citext; CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE TABLE t (id int PRIMARY KEY, name text COLLATE ci, nick varchar(30) COLLATE ci, short citext)`)
  await pair.mustRun()
  await pair.left.sql(`UPDATE t SET name = 'McDonald' WHERE id = 1; UPDATE t SET nick = 'B', short = 'B' WHERE id = 2`)
  const { updated } = await pair.mustRun()
  assert.equal(updated, 2)
  assert.deepEqual(await pair.right.sql('SELECT * FROM t ORDER BY id'), [
    ['1', 'McDonald', 'mac', 'a'],
    ['2', 'bob', 'B', 'B'],
  ])
  await assertEqual(pair)
})

describe('point 32, hazard 33: keys that the target takes for one', () => {
  for (const type of looseTypes)
    test(`${type}: one of them is a rejected row in words, and no row changes hands`, async () => {
      await using pair = await postgresToPostgres({ adopt: true })
      await pair.left.sql(
        `CREATE TABLE t (id text PRIMARY KEY, note text); INSERT INTO t VALUES ('a', 'small'), ('A', 'large'), ('b', 'b')`,
      )
      await pair.right.sql(`${ci} CREATE TABLE t (id ${type} PRIMARY KEY, note text)`)
      for (let again = 0; again < 3; again++) {
        const run = await pair.run()
        assert.deepEqual([run.status, run.rejected, run.updated], ['failed', 1, 0], run.error?.message)
        const [letter, ...others] = await deadLetters(pair.sync, pair.project())
        assert.deepEqual([letter?.code, others], ['KEY_TAKEN', []])
        assert.match(String(letter?.message), /takes its key for the key of another row/)
        const rows = await rowsOf(pair.right)
        assert.equal(rows.length, 2)
        for (const [id, note] of rows)
          assert.deepEqual(await pair.left.sql(`SELECT note FROM t WHERE id = '${id}'`), [[note]])
      }
      // The other one takes its place once it is gone, in the same run.
      const kept = (await pair.right.sql(`SELECT id FROM t WHERE id = 'a'`))[0]?.[0]
      await pair.left.sql(`DELETE FROM t WHERE id = '${kept}'`)
      await pair.mustRun(all)
      await assertEqual(pair)
    })

  test('a row that is not ours keeps its key, its values and its place', async () => {
    await using pair = await postgresToPostgres({ adopt: true })
    await pair.left.sql(
      `CREATE TABLE t (id text PRIMARY KEY, note text); INSERT INTO t VALUES ('A', 'ours'), ('b', 'b')`,
    )
    await pair.right.sql(
      `${ci} CREATE TABLE t (id text COLLATE ci PRIMARY KEY, note text); INSERT INTO t VALUES ('a', 'theirs')`,
    )
    assert.equal((await pair.run()).rejected, 1)
    await pair.left.sql(`DELETE FROM t WHERE id = 'A'`)
    await pair.mustRun(all)
    assert.deepEqual(await rowsOf(pair.right), [
      ['a', 'theirs'],
      ['b', 'b'],
    ])
  })

  test('a key that changes its case is another row, also in a table of ours, in one run', async () => {
    await using pair = await postgresToPostgres()
    for (const side of [pair.left, pair.right]) await side.sql('CREATE EXTENSION citext')
    await pair.left.sql(
      `CREATE TABLE t (id citext PRIMARY KEY, note text); INSERT INTO t VALUES ('a', 'x'), ('b', 'y')`,
    )
    await pair.mustRun()
    await pair.left.sql(`UPDATE t SET id = 'A', note = 'z' WHERE id = 'a'`)
    await pair.mustRun(all)
    assert.deepEqual(await rowsOf(pair.right), [
      ['A', 'z'],
      ['b', 'y'],
    ])
    await assertEqual(pair)
  })

  test('of several parts, one of them loose', async () => {
    await using pair = await postgresToPostgres({ adopt: true })
    await pair.left.sql(`CREATE TABLE t (id int, code text, note text, PRIMARY KEY (id, code));
      INSERT INTO t VALUES (1, 'a', 'x'), (2, 'A', 'y'), (2, 'b', 'z')`)
    await pair.right.sql(`${ci} CREATE TABLE t (id int, code citext, note text, PRIMARY KEY (id, code))`)
    await pair.mustRun()
    await pair.left.sql(`INSERT INTO t VALUES (1, 'A', 'taken'); DELETE FROM t WHERE code = 'b'`)
    const run = await pair.run(all)
    assert.deepEqual([run.rejected, run.deleted, run.updated], [1, 1, 0])
    await pair.left.sql(`DELETE FROM t WHERE note = 'taken'`)
    await pair.mustRun(all)
    await assertEqual(pair)
  })
})

describe('point 32, hazard 33: two-way writes into columns that compare loosely', () => {
  for (const type of looseTypes)
    test(`${type}: what was expected is compared by its bytes, so that no edit is overwritten`, async () => {
      const [left, right] = [await postgresDatabase(), await postgresDatabase()]
      await left.sql(`CREATE TABLE contacts (id int PRIMARY KEY, name text); INSERT INTO contacts VALUES (1, 'mac')`)
      await right.sql(`${ci} CREATE TABLE contacts (id int PRIMARY KEY, name ${type})`)
      await using pair = openTwoWay(left, right, { fields: [field('id'), field('name')] })
      await pair.writes()
      await using connection = await right.connect(context)
      const collection = await connection.collection('contacts')
      await using writer = await collection.writer?.({
        project: 'p',
        name: 'n',
        fields: ['id', 'name'],
        held: null,
      })
      await right.sql(`UPDATE contacts SET name = 'Mac'`)
      const write = { kind: 'update', key: [1], fields: { name: 'mick' }, expected: { name: 'mac' } } as const
      assert.deepEqual(await writer?.write('1', [write], []), [{ status: 'stale' }])
      assert.deepEqual(await writer?.write('2', [{ ...write, expected: { name: 'Mac' } }], ['1']), [
        { status: 'written', row: [1, 'mick'] },
      ])
    })

  for (const type of looseTypes)
    test(`${type}: a key taken for another row's is a rejected row in words, and a write finds its row by the bytes of its key`, async () => {
      const [left, right] = [await postgresDatabase(), await postgresDatabase()]
      await left.sql(
        `CREATE TABLE contacts (id text PRIMARY KEY, name text); INSERT INTO contacts VALUES ('a', 'small'), ('A', 'large')`,
      )
      await right.sql(`${ci} CREATE TABLE contacts (id ${type} PRIMARY KEY, name text)`)
      await using pair = openTwoWay(left, right, { fields: [field('id'), field('name')] })
      for (let again = 0; again < 2; again++) {
        const record = await pair.run()
        assert.deepEqual([record.error?.code, record.rejected], ['ROWS_REJECTED', 1], record.error?.message)
        await using reader = await pair.store.pairs.read(pair.sync.id)
        const { pairs, unpaired } = await reader.waiting()
        assert.deepEqual(
          [...pairs, ...unpaired].map(({ code }) => code),
          ['KEY_TAKEN'],
        )
      }
      const [kept] = await right.sql('SELECT id, name FROM contacts')
      assert.deepEqual([kept], await left.sql(`SELECT id, name FROM contacts WHERE id = '${kept?.[0]}'`))
    })
})

test('point 32, hazard 33: the index of a loose key finds its rows, and other keys are looked up as ever', async () => {
  await using database = await postgresDatabase()
  await database.sql(`${ci} CREATE TABLE t (a text COLLATE ci, b int, c citext UNIQUE, PRIMARY KEY (a, b));
    INSERT INTO t SELECT 'Name ' || i, i, 'Code ' || i FROM generate_series(1, 20000) AS i; ANALYZE t`)
  const of = (name: string, native: string) =>
    ({ name, type: native === 'integer' ? 'integer' : 'text', native, nullable: false, writable: true }) as const
  const [a, b, c] = [of('a', 'text'), of('b', 'integer'), of('c', 'public.citext')]
  const planOf = async (condition: string) =>
    (await database.sql(`EXPLAIN SELECT * FROM t WHERE ${condition}`)).flat().join('\n')
  const pairs = [
    ['Name 1', 1],
    ['Name 2', 2],
  ]
  assert.match(await planOf(keysSql([a, b], pairs, ['a', 'c'])), /Index Scan (using|on) t_pkey/)
  assert.match(await planOf(keysSql([c], [['Code 1'], ['Code 2']], ['a', 'c'])), /Index Scan (using|on) t_c_key/)
  assert.equal(
    keysSql([a, b], pairs, ['c']),
    `("a", "b") IN (VALUES ('Name 1'::text, '1'::integer), ('Name 2'::text, '2'::integer))`,
  )
  assert.equal(keysSql([a], [['x']], []), `"a" IN ('x'::text)`)
})

async function rowsOf(database: PostgresDatabase): Promise<(string | null)[][]> {
  return await database.sql('SELECT id, note FROM t ORDER BY id::text COLLATE "C"')
}
