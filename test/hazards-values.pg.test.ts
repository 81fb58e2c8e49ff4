/** Values that stay what they are: new columns, server settings, numbers, NULL and what is not NULL. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assertEqual, postgresToPostgres, postgresToSqlite, sqliteToPostgres, sqliteToSqlite } from './hazards/pair.ts'

describe('hazard 12: schema drift', () => {
  test('hazard 12: a column added with a default, which rewrites no row, is filled', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(
      `CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t SELECT n, 'x' FROM generate_series(1, 100) n`,
    )
    await pair.mustRun()
    await pair.left.sql(`ALTER TABLE t ADD COLUMN grade int NOT NULL DEFAULT 7`)
    assert.equal((await pair.mustRun()).updated, 100)
    assert.deepEqual(await pair.right.sql('SELECT DISTINCT grade FROM t'), [['7']])
    await assertEqual(pair)
  })

  test('hazard 12: so is one added to a SQLite table', async () => {
    await using pair = await sqliteToPostgres('triggers')
    await pair.left.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b')`)
    await pair.mustRun()
    await pair.left.sql(`ALTER TABLE t ADD COLUMN grade INTEGER DEFAULT 7`)
    await pair.mustRun()
    assert.deepEqual(await pair.right.sql('SELECT DISTINCT grade FROM t'), [['7']])
    await assertEqual(pair)
  })

  test('hazard 12: a column that becomes wider keeps every value, old and new', async () => {
    await using pair = await postgresToPostgres()
    await pair.left.sql(
      `CREATE TABLE t (id int PRIMARY KEY, n int, price numeric(5,2), name varchar(3)); INSERT INTO t VALUES (1, 5, 1.50, 'abc')`,
    )
    await pair.mustRun()
    await pair.left.sql(
      `ALTER TABLE t ALTER n TYPE bigint, ALTER price TYPE numeric(12,4), ALTER name TYPE text; INSERT INTO t VALUES (2, 5000000000, 12345678.1234, 'longer')`,
    )
    await pair.mustRun()
    const rows = 'SELECT * FROM t ORDER BY id'
    assert.deepEqual(await pair.right.sql(rows), await pair.left.sql(rows))
    await assertEqual(pair)
  })

  test('hazard 12: a dropped column stays at the target with what it held', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(`CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'kept')`)
    await pair.mustRun()
    await pair.left.sql(`ALTER TABLE t DROP COLUMN note; INSERT INTO t VALUES (2)`)
    await pair.mustRun()
    assert.deepEqual(await pair.right.sql('SELECT id, note FROM t ORDER BY id'), [
      ['1', 'kept'],
      ['2', null],
    ])
  })

  test('hazard 12: a type that no longer fits holds the sync and changes nothing', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(`CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 5)`)
    await pair.mustRun()
    await pair.left.sql(`ALTER TABLE t ALTER n TYPE jsonb USING to_jsonb(n)`)
    const run = await pair.run()
    assert.deepEqual([run.status, run.error?.code], ['held', 'SCHEMA_DRIFT'])
    assert.deepEqual(await pair.right.sql('SELECT id, n FROM t'), [['1', '5']])
  })
})

const settings = [
  `TimeZone = 'Asia/Kolkata'`,
  `DateStyle = 'German, DMY'`,
  `IntervalStyle = 'iso_8601'`,
  `extra_float_digits = -15`,
  `bytea_output = 'escape'`,
  `standard_conforming_strings = off`,
  `backslash_quote = on`,
]

describe('hazard 13: time zones and other settings of a server', () => {
  test('hazard 13: whatever a database’s settings are, values are spelled the same', async () => {
    await using pair = await postgresToPostgres()
    await pair.left.sql(`CREATE TABLE t (id int PRIMARY KEY, at timestamptz, wall timestamp, day date, clock timetz, span interval, ratio float8, half real, raw bytea, note text, list timestamptz[]);
      INSERT INTO t VALUES
        (1, '2024-07-01T12:00:00+02', '2024-07-01 12:00', '2024-02-03', '12:00+02', '1 year 2 mons -3 days 04:05:06.7', 0.1 + 0.2, 1.1::real, '\\x00ff5c27', 'a\\nb''c', '{2024-01-01T00:00:00Z}'),
        (2, '2024-10-27T01:30:00Z', '2024-10-27 02:30', '1999-12-31', '00:00-11', '-1 mons', 1e-300, 3.4e38, '', '\\', '{}')`)
    await pair.mustRun()
    const exact = `SELECT id, at AT TIME ZONE 'UTC', wall, day, clock::text, extract(epoch FROM span), ratio, half, encode(raw, 'hex'), note, list[1] AT TIME ZONE 'UTC' FROM t ORDER BY id`
    const before = await pair.right.sql(exact)
    for (const setting of settings) {
      await pair.left.sql(`ALTER DATABASE ${await nameOf(pair.left.sql)} SET ${setting}`)
      await pair.right.sql(`ALTER DATABASE ${await nameOf(pair.right.sql)} SET ${setting}`)
    }
    assert.ok((await pair.verify()).equal)
    await pair.left.sql('UPDATE t SET id = id')
    const run = await pair.mustRun()
    assert.deepEqual([run.read, run.updated, run.unchanged], [2, 0, 2])
    assert.deepEqual(await pair.right.sql(exact), before)
    await pair.left.sql('INSERT INTO t SELECT id + 10, at, wall, day, clock, span, ratio, half, raw, note, list FROM t')
    await pair.mustRun()
    assert.deepEqual(await pair.right.sql(exact), await pair.left.sql(exact))
    await assertEqual(pair)
  })
})

async function nameOf(sql: (text: string) => Promise<(string | null)[][]>): Promise<string> {
  return (await sql('SELECT current_database()'))[0]?.[0] ?? ''
}

describe('hazard 14: numbers', () => {
  test('hazard 14: keys beyond 2^53 stay apart, through inserts, updates and deletes', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(`CREATE TABLE t (id bigint PRIMARY KEY, note text);
      INSERT INTO t SELECT 9007199254740990 + n, 'old' FROM generate_series(1, 10) n; INSERT INTO t VALUES (9223372036854775807, 'max'), (-9223372036854775808, 'min')`)
    await pair.mustRun()
    await pair.left.sql(
      `UPDATE t SET note = 'new' WHERE id = 9007199254740993; DELETE FROM t WHERE id IN (9007199254740994, -9223372036854775808)`,
    )
    await pair.mustRun()
    const rows = 'SELECT id, note FROM t ORDER BY id'
    assert.deepEqual(await pair.right.sql(rows), await pair.left.sql(rows))
    await assertEqual(pair)
  })

  test('hazard 14: so do keys of a SQLite table', async () => {
    await using pair = await sqliteToSqlite('triggers')
    await pair.left.sql(
      `CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO t VALUES (9007199254740992, 'a'), (9007199254740993, 'b'), (9223372036854775807, 'max')`,
    )
    await pair.mustRun()
    await pair.left.sql(
      `UPDATE t SET note = 'new' WHERE id = 9007199254740993; DELETE FROM t WHERE id = 9007199254740992`,
    )
    await pair.mustRun()
    assert.deepEqual(await pair.right.sql('SELECT id, note FROM t ORDER BY id'), [
      ['9007199254740993', 'new'],
      ['9223372036854775807', 'max'],
    ])
    await assertEqual(pair)
  })

  test('hazard 14: a decimal keeps its digits and its scale, and NaN and infinity', async () => {
    await using pair = await postgresToSqlite()
    const digits = '123456789012345678901234567890.12345678901234567890'
    await pair.left.sql(
      `CREATE TABLE t (id int PRIMARY KEY, n numeric); INSERT INTO t VALUES (1, ${digits}), (2, 1.50), (3, 'NaN'), (4, '-Infinity'), (5, 1e-30)`,
    )
    await pair.mustRun()
    const values = (await pair.right.sql('SELECT n FROM t ORDER BY id')).flat()
    assert.deepEqual(values, [digits, '1.50', 'NaN', '-Infinity', `0.${'0'.repeat(29)}1`])
    await pair.left.sql('UPDATE t SET n = 1.5 WHERE id = 2')
    assert.equal((await pair.mustRun()).updated, 1)
    assert.deepEqual(await pair.right.sql('SELECT n FROM t WHERE id = 2'), [['1.5']])
  })

  test('hazard 14: what SQLite can’t hold of a float is declared, counted, and equal afterwards', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(
      `CREATE TABLE t (id int PRIMARY KEY, n float8); INSERT INTO t VALUES (1, 'NaN'), (2, '-0'), (3, 'Infinity'), (4, '-Infinity'), (5, 5e-324), (6, 1.7976931348623157e308)`,
    )
    assert.equal((await pair.mustRun()).lossy, 2)
    const values = (
      await pair.right.sql(`SELECT CASE WHEN n > 1e308 AND n * 0 IS NULL THEN 'inf' ELSE n END FROM t ORDER BY id`)
    ).flat()
    assert.equal(values[0], null)
    assert.equal(Number(values[4]), 5e-324)
    await assertEqual(pair)
  })
})

describe('hazard 15: NULL and what is not NULL', () => {
  const kinds = `INSERT INTO t VALUES (1, NULL, NULL), (2, 'null', ''), (3, '""', 'null'), (4, '{}', 'NULL'), (5, '{"a": null}', '\\N'), (6, '[null]', ' ')`

  test('hazard 15: JSON null, SQL NULL, the empty text and the word null stay four things', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(`CREATE TABLE t (id int PRIMARY KEY, doc jsonb, note text); ${kinds}`)
    await pair.mustRun()
    const rows = 'SELECT id, doc, note FROM t ORDER BY id'
    assert.deepEqual(await pair.right.sql(rows), await pair.left.sql(rows))
    await assertEqual(pair)
    for (const [from, to] of [
      ['NULL', `'null'`],
      [`'null'`, 'NULL'],
      ['NULL', `''`],
    ] as const) {
      const column = to === `''` ? 'note' : 'doc'
      await pair.left.sql(`UPDATE t SET ${column} = ${from} WHERE id = 6`)
      await pair.mustRun()
      await pair.left.sql(`UPDATE t SET ${column} = ${to} WHERE id = 6`)
      assert.equal((await pair.mustRun()).updated, 1, `${column} from ${from} to ${to}`)
    }
    assert.deepEqual(await pair.right.sql(rows), await pair.left.sql(rows))
  })

  test('hazard 15: between two Postgres databases as well', async () => {
    await using pair = await postgresToPostgres()
    await pair.left.sql(`CREATE TABLE t (id int PRIMARY KEY, doc json, note text); ${kinds}`)
    await pair.mustRun()
    await pair.left.sql(`UPDATE t SET doc = doc`)
    assert.equal((await pair.mustRun()).unchanged, 6)
    const rows = 'SELECT id, doc, note FROM t ORDER BY id'
    assert.deepEqual(await pair.right.sql(rows), await pair.left.sql(rows))
  })

  test('hazard 15: a NUL in text goes from SQLite to SQLite, and is refused where Postgres can’t hold it', async () => {
    const table = `CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO t VALUES (1, 'fine'), (2, 'a' || char(0) || 'b'), (3, '')`
    await using same = await sqliteToSqlite('none')
    await same.left.sql(table)
    await same.mustRun()
    assert.deepEqual(await same.right.sql('SELECT hex(note) FROM t ORDER BY id'), [['66696E65'], ['610062'], ['']])
    await assertEqual(same)

    await using other = await sqliteToPostgres('none')
    await other.left.sql(table)
    const run = await other.run()
    assert.deepEqual([run.error?.code, run.inserted, run.rejected], ['ROWS_REJECTED', 2, 1])
    assert.match((await other.right.sql('SELECT message FROM _syncline_rejected'))[0]?.[0] ?? '', /NUL/)
  })
})
