/** From Postgres to SQLite and back to Postgres: every value comes back as it was, one test per type. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { RunRecord } from '../src/core/run.ts'
import type { Mode } from '../src/core/sync.ts'
import { openPair, type Pair, type PostgresDatabase, postgresDatabase, sqliteDatabase } from './hazards/pair.ts'

const types = `
  CREATE TYPE mood AS ENUM ('sad', 'so-so', 'very happy', 'it''s');
  CREATE TYPE place AS (street text, number int, "odd name" numeric);
  CREATE DOMAIN positive AS int CHECK (VALUE > 0);
  CREATE DOMAIN places AS place[];
  CREATE TYPE float8range2 AS RANGE (subtype = float8);`

/** Postgres' type, and values as SQL; NULL is always among them. */
const cases: readonly (readonly [type: string, ...values: string[]])[] = [
  ['boolean', 'true', 'false'],
  ['smallint', '-32768', '32767'],
  ['integer', '-2147483648', '2147483647', '0'],
  ['bigint', '-9223372036854775808', '9223372036854775807', '9007199254740993', '-9007199254740993'],
  ['oid', '4294967295'],
  ['real', `'3.4028235e38'`, `'1e-45'`, '0.1', '1.1', `'Infinity'`, `'-Infinity'`, '16777217'],
  [
    'double precision',
    `'1.7976931348623157e308'`,
    `'5e-324'`,
    '0.1',
    '0.30000000000000004',
    `'Infinity'`,
    `'-Infinity'`,
  ],
  [
    'numeric',
    '0',
    '1.50',
    '-1.500',
    `'NaN'`,
    `'Infinity'`,
    `'-Infinity'`,
    '1e-100',
    `repeat('9', 1000)::numeric`,
    '1e200',
  ],
  ['numeric(12,2)', '9999999999.99', '-0.01', '0.00'],
  ['numeric(5,-2)', '1234567'],
  ['money', `'$1,234.56'`, `'-92233720368547758.08'`],
  [
    'text',
    `''`,
    `' '`,
    `'null'`,
    `'\\N'`,
    `E'tab\\tnew\\nline\\rreturn\\bback\\\\slash\\x01'`,
    `'é😀𐀀' || U&'\\FFFD' || chr(65535) || chr(1114111)`,
    `repeat('long', 20000)`,
    `'"quoted" and ''single'''`,
  ],
  ['character varying(10)', `'abc  '`, `''`],
  ['character(5)', `'ab'`, `'12345'`],
  ['"char"', `'a'`, `''`],
  ['name', `'pg_class'`],
  ['bytea', `'\\x'`, `'\\x00'`, `'\\x00ff5c0a09277f80'`, `decode(repeat('00ff', 30000), 'hex')`],
  ['uuid', `'00000000-0000-0000-0000-000000000000'`, `'ffffffff-ffff-ffff-ffff-ffffffffffff'`],
  [
    'date',
    `'0001-01-01'`,
    `'0044-03-15 BC'`,
    `'4713-01-01 BC'`,
    `'9999-12-31'`,
    `'10000-01-01'`,
    `'5874897-12-31'`,
    `'infinity'`,
    `'-infinity'`,
  ],
  ['time', `'00:00'`, `'23:59:59.999999'`, `'24:00'`, `'12:00:00.5'`],
  ['time with time zone', `'00:00+15:59:59'`, `'24:00-15:59'`, `'12:30:15.123456+05:30'`],
  [
    'timestamp',
    `'0001-01-01'`,
    `'4713-01-01 BC'`,
    `'0044-03-15 12:00:00.5 BC'`,
    `'294276-12-31 23:59:59.999999'`,
    `'infinity'`,
    `'-infinity'`,
    `'2024-02-29 12:00:00.1'`,
  ],
  [
    'timestamp with time zone',
    `'0001-01-01Z'`,
    `'4713-01-01 BC'`,
    `'294276-12-31 23:59:59.999999Z'`,
    `'infinity'`,
    `'-infinity'`,
    `'1883-11-18 12:03:57-04:56:02'`,
    `'2024-10-27 02:30+01'`,
  ],
  ['timestamp(0)', `'2024-02-29 12:00:00'`],
  [
    'interval',
    `'0'`,
    `'1 year -2 mons 3 days -04:05:06.789'`,
    `'-178000000 years'`,
    `'00:00:00.000001'`,
    `'infinity'`,
    `'-infinity'`,
    `'1 mon'`,
    `'30 days'`,
  ],
  [
    'json',
    `'null'`,
    `'{"b": 1, "a": [1.50, 1e2, null], "b": 2}'`,
    `' [ 1 , 2 ] '`,
    `'""'`,
    `'12345678901234567890.123'`,
    `'"\\u00e9\\ud83d\\ude00\\n"'`,
  ],
  ['jsonb', `'null'`, `'{"b": 1.50, "a": {"c": []}}'`, `'12345678901234567890.10'`, `'"\\u00e9😀"'`, `'false'`],
  ['jsonpath', `'$.a[*] ? (@ > 1)'`],
  ['mood', `'very happy'`, `'it''s'`],
  ['positive', '1', '2147483647'],
  ['place', `ROW('Main St, "12"', 5, 1.50)`, `ROW('', NULL, 'NaN')`, `ROW(NULL, NULL, NULL)`],
  ['int[]', `'{}'`, `'{1,NULL,-2147483648}'`, `'{{1,2},{3,4}}'`, `'[0:1]={1,2}'`],
  ['text[]', `'{}'`, `ARRAY['', NULL, 'null', 'a,b', '{c}', 'd"e', 'f\\g', ' h ']`],
  ['timestamptz[]', `ARRAY['2024-10-27 02:30+01', 'infinity']::timestamptz[]`],
  ['bytea[]', `ARRAY['\\x00ff'::bytea]`],
  ['mood[]', `ARRAY['sad', NULL, 'it''s']::mood[]`],
  ['place[]', `ARRAY[ROW('a,b', 1, 1.50)::place, NULL]`],
  ['places', `ARRAY[ROW('a', 1, 1)::place]::places`],
  ['jsonb[]', `ARRAY['{"a": "b,c"}'::jsonb, NULL]`],
  ['int4range', `'empty'`, `'[1,5)'`, `'(,)'`, `'[,5)'`],
  ['numrange', `'[1.50,2.500]'`],
  ['tstzrange', `'[2024-01-01 00:00+02,infinity)'`],
  ['daterange', `'[0044-03-15 BC,10000-01-01)'`],
  ['int4multirange', `'{[1,3),[5,7)}'`, `'{}'`],
  ['float8range2', `'[0.1,0.30000000000000004)'`],
  ['inet', `'192.168.0.1'`, `'192.168.0.0/24'`, `'::1'`, `'fe80::1/64'`],
  ['cidr', `'10.0.0.0/8'`, `'2001:db8::/32'`],
  ['macaddr', `'08:00:2b:01:02:03'`],
  ['macaddr8', `'08:00:2b:01:02:03:04:05'`],
  ['bit(3)', `B'101'`],
  ['bit varying', `B''`, `B'10101'`],
  ['point', `'(1.5,-0.1)'`, `'(Infinity,-0)'`],
  ['line', `'{1,-1,0}'`],
  ['lseg', `'[(0,0),(1,1)]'`],
  ['box', `'(2,2),(0,0)'`],
  ['path', `'[(0,0),(1,1)]'`, `'((0,0),(1,1))'`],
  ['polygon', `'((0,0),(1,0),(1,1))'`],
  ['circle', `'<(0,0),2.5>'`],
  ['tsvector', `'fat:2,4B cat:3'`],
  ['tsquery', `'fat & (rat | !cat:ab)'`],
  ['xml', `'<a b="c">d &amp; e</a>'`, `'plain'`],
  ['pg_lsn', `'16/B374D848'`],
  ['xid8', `'18446744073709551615'`],
  ['regclass', `'pg_class'`],
]

/** Two syncs, and the three databases that they join. */
interface Trip {
  readonly first: PostgresDatabase
  readonly last: PostgresDatabase
  readonly there: Pair
  readonly back: Pair
}

describe('from Postgres to SQLite and back to Postgres', () => {
  let trip: Trip
  before(async () => {
    const [first, file, last] = [await postgresDatabase(), await sqliteDatabase(), await postgresDatabase()]
    const borrowed = { ...file, [Symbol.asyncDispose]: async () => {} }
    trip = { first, last, there: await openPair(first, borrowed), back: await openPair(file, last) }
    await first.sql(types)
  })
  after(async () => {
    await trip.there[Symbol.asyncDispose]()
    await trip.back[Symbol.asyncDispose]()
  })

  for (const [at, [type, ...values]] of cases.entries()) {
    test(`every ${type} comes back as it was`, async () => {
      const table = `v${at}`
      await trip.first.sql(
        `CREATE TABLE ${table} (id int PRIMARY KEY, v ${type}); INSERT INTO ${table} VALUES (0, NULL)`,
      )
      for (const [id, value] of values.entries())
        await trip.first.sql(`INSERT INTO ${table} VALUES (${id + 1}, ${value})`)
      const [there, back] = await travel(trip, table)
      const exact = `SET TimeZone = 'UTC'; SELECT id, v::text, v::text IS NULL FROM ${table} ORDER BY id`
      assert.deepEqual(await trip.last.sql(exact), await trip.first.sql(exact))
      assert.deepEqual(
        [there.inserted, there.lossy, back.inserted, back.lossy],
        [values.length + 1, 0, values.length + 1, 0],
      )
      const [again] = await travel(trip, table, 'full')
      assert.deepEqual([again.inserted, again.updated, again.deleted], [0, 0, 0])
    })
  }

  const keys = [
    'bigint',
    'double precision',
    'numeric(12,2)',
    'text',
    'character(5)',
    'bytea',
    'uuid',
    'date',
    'time',
    'timestamp with time zone',
  ]
  for (const type of [...keys, 'mood', 'int[]', 'text[]', 'int4range', 'inet', 'boolean']) {
    test(`rows are told apart by a key of type ${type}, there and back`, async () => {
      const table = `k_${type.replace(/\W/g, '_')}`
      const values = (cases.find(([name]) => name === type) ?? [])
        .slice(1)
        .filter((value) => value.length < 500 && !value.includes('repeat'))
      assert.ok(values.length > 1)
      await trip.first.sql(`CREATE TABLE ${table} (v ${type} PRIMARY KEY, n int)`)
      for (const [n, value] of values.entries()) await trip.first.sql(`INSERT INTO ${table} VALUES (${value}, ${n})`)
      const exact = `SET TimeZone = 'UTC'; SELECT n, v::text FROM ${table} ORDER BY n`
      await travel(trip, table)
      assert.deepEqual(await trip.last.sql(exact), await trip.first.sql(exact))
      await trip.first.sql(`DELETE FROM ${table} WHERE n = 0; UPDATE ${table} SET n = n + 100`)
      const [there, back] = await travel(trip, table)
      assert.deepEqual(
        [there.updated, there.deleted, back.updated, back.deleted],
        [values.length - 1, 1, values.length - 1, 1],
      )
      assert.deepEqual(await trip.last.sql(exact), await trip.first.sql(exact))
    })
  }

  test('what SQLite can’t hold of a float is counted, and nothing else is lost with it', async () => {
    await trip.first.sql(`CREATE TABLE losses (id int PRIMARY KEY, a float8, b real);
      INSERT INTO losses VALUES (1, 'NaN', 'NaN'), (2, '-0', 1), (3, 1, '-0'), (4, 1, 1)`)
    const [there] = await travel(trip, 'losses')
    assert.equal(there.lossy, 4)
    assert.deepEqual(await trip.last.sql('SELECT id, a, b FROM losses ORDER BY id'), [
      ['1', null, null],
      ['2', '0', '1'],
      ['3', '1', '0'],
      ['4', '1', '1'],
    ])
  })
})

/** One run there and one back. */
async function travel({ there, back }: Trip, table: string, mode: Mode = 'auto'): Promise<[RunRecord, RunRecord]> {
  const from = { connection: 'left', collection: table }
  const to = { connection: 'right', collection: table }
  return [
    await there.mustRun({ id: table, from, to, mode }),
    await back.mustRun({ id: `${table} back`, from, to, mode }),
  ]
}
