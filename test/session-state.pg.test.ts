/** Nothing depends on what a session of the server has kept, or on what role, database and server have set. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { connect } from '../src/connectors/postgres/client.ts'
import { postgres } from '../src/connectors/postgres/index.ts'
import { SyncError } from '../src/core/error.ts'
import { testContext } from '../src/testing/connector-harness.ts'
import { claim, items, openSink, specOf } from '../src/testing/connector-target.ts'
import { createDatabase } from '../tools/database.ts'
import { poolerMissing, startPooler } from '../tools/pgbouncer.ts'
import { hostile, isTimeLimit, setHostile } from './hazards/hostile-settings.ts'
import {
  assertEqual,
  openPair,
  type Pair,
  type PostgresDatabase,
  postgresDatabase,
  postgresToPostgres,
  postgresToSqlite,
  sqliteDatabase,
} from './hazards/pair.ts'

const skip = poolerMissing() ?? false
const serverUrl = process.env.TEST_POSTGRES_URL ?? ''

/** Values whose spelling, or the reading of it, depends on settings. */
const values = `CREATE TYPE kind AS ENUM ('Big', 'small'); CREATE TABLE t (id int PRIMARY KEY, b bytea, f float8, iv interval, at timestamptz, d date, x xml, m money, a text[], note text, "Kind" kind);
  INSERT INTO t SELECT n, decode(md5(n::text), 'hex'), n / 3.0, make_interval(days => n, hours => -n),
    '2025-01-31 13:05:09.25+00'::timestamptz + n * interval '1 hour', '2025-01-31'::date + n, '<a/>', 1234.5, ARRAY['x', NULL], E'back\\\\slash \\'quoted\\'', 'Big'
  FROM generate_series(1, 20) AS n`

/** Text of the rows, by a session that sets nothing but how values are spelled. */
async function exactRows({ sql }: PostgresDatabase): Promise<unknown> {
  return await sql(`BEGIN; SET LOCAL TimeZone = 'UTC'; SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex';
    SET LOCAL IntervalStyle = 'postgres'; SET LOCAL DateStyle = 'ISO'; SELECT * FROM public.t ORDER BY id`).finally(
    () => sql('COMMIT'),
  )
}

async function staysEqual(pair: Pair<PostgresDatabase, PostgresDatabase>): Promise<void> {
  await pair.mustRun()
  for (let round = 0; round < 3; round++) {
    await pair.left.sql(
      `UPDATE t SET d = d + 1, b = b || '\\x00' WHERE id <= 2; INSERT INTO t (id, a, note) VALUES (100 + ${round}, '{NULL}', E'\\\\' || ${round})`,
    )
    await pair.mustRun()
  }
  await assertEqual(pair)
  assert.deepEqual(await exactRows(pair.right), await exactRows(pair.left))
}

describe('point 37, hazard 38: settings of role, database or server', () => {
  for (const [what, names] of [
    ['time limits', Object.keys(hostile).filter(isTimeLimit)],
    ['all others', Object.keys(hostile).filter((name) => !isTimeLimit(name))],
  ] as const)
    test(`hazard 38: ${what} change nothing on either side`, async () => {
      await using pair = await postgresToPostgres({ where: { not: { note: null } } })
      await pair.left.sql(values)
      for (const side of [pair.left, pair.right]) await setHostile(side.sql, names)
      await staysEqual(pair)
    })

  test('hazard 38: none is left to them in any kind of transaction', async () => {
    await using database = await postgresDatabase()
    await setHostile(database.sql, Object.keys(hostile))
    await using client = await connect(postgres.config.parse({ url: database.url }))
    // The defaults of transactions are not set: every BEGIN says what it is.
    const names = Object.keys(hostile).filter((name) => !/^(default_|backslash_quote)/.test(name))
    const settings = [...names, 'transaction_isolation', 'transaction_read_only', 'transaction_deferrable']
    const query = `SELECT ${settings.map((name) => `current_setting('${name}', true)`).join(', ')}`
    const alone = await client.query(query)
    const write = await client.begin('write', query)
    await client.commit()
    const snapshot = await client.begin('snapshot', query)
    await client.commit()
    const reading = new Set(['session_replication_role', 'client_encoding'])
    for (const [kind, [row], transaction] of [
      ['alone', alone, ['read committed', 'on', 'on']],
      ['write', write, ['read committed', 'off', 'off']],
      ['snapshot', snapshot, ['repeatable read', 'on', 'off']],
    ] as const) {
      for (const [at, name] of names.entries())
        if (kind === 'write' || !reading.has(name)) assert.notEqual(row?.[at], hostile[name], `${name} ${kind}`)
      assert.deepEqual(row?.slice(names.length), transaction, kind)
    }
  })

  test('hazard 38: a read takes longer than the time limits of its role', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(
      `CREATE VIEW slow AS SELECT n AS id, pg_sleep(0.05)::text AS slept FROM generate_series(1, 5) AS n`,
    )
    await setHostile(pair.left.sql, ['statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout'])
    pair.sync = { ...pair.sync, from: { ...pair.sync.from, collection: 'slow' }, key: ['id'] }
    const { inserted } = await pair.mustRun()
    assert.equal(inserted, 5)
  })

  test('hazard 38: what may not be set back is named', async () => {
    await using pair = await postgresToPostgres()
    await pair.left.sql(values)
    const role = `target_${Date.now()}`
    await pair.right.connectAs(role)
    await pair.right.sql(
      `GRANT ALL ON SCHEMA public TO ${role}; ALTER ROLE ${role} SET session_replication_role = 'replica'`,
    )
    const { error } = await pair.run()
    assert.equal(error?.code, 'GRANT_MISSING')
    assert.match(`${error?.message} ${error?.hint}`, /session_replication_role.*ALTER ROLE/s)
  })
})

describe('point 42, hazard 32: text in other encodings', () => {
  const names = `CREATE TABLE t (id int PRIMARY KEY, name text, note text);
    INSERT INTO t VALUES (1, E'caf\\351', 'a'), (2, 'plain', 'b'), (3, E'caf\\303\\251', 'c'), (4, E'\\357\\277\\275', 'U+FFFD itself')`

  test('hazard 32: in a SQL_ASCII database, rows whose bytes are not UTF-8 are refused by key, and the others are exact', async () => {
    for (const make of [() => sqliteDatabase(), () => postgresDatabase(), () => postgresDatabase('SQL_ASCII')]) {
      const right = await make()
      await using pair = await openPair(await postgresDatabase('SQL_ASCII'), right)
      await pair.left.sql(`SET client_encoding = 'SQL_ASCII'; ${names}`)
      for (let run = 0; run < 2; run++) {
        const { status, error } = await pair.run()
        assert.deepEqual([status, error?.code], ['failed', 'ROWS_REJECTED'])
        const rows = await right.sql('SELECT id, name FROM t ORDER BY id')
        assert.deepEqual(rows, [
          ['2', 'plain'],
          ['3', 'café'],
          ['4', '\ufffd'],
        ])
        const [refusal] = await right.sql('SELECT key, message FROM _syncline_rejected')
        assert.match(refusal?.join(' ') ?? '', /^\[.*1.*\] name: bytes that are not UTF-8/)
      }
      await pair.left.sql(`UPDATE t SET name = E'caf\\303\\251' WHERE id = 1`)
      await pair.mustRun()
      await assertEqual(pair)
    }
  })

  test('hazard 32: a key whose bytes are not UTF-8 is refused, and never taken for another', async () => {
    await using pair = await openPair(await postgresDatabase('SQL_ASCII'), await sqliteDatabase(), { key: ['name'] })
    await pair.left.sql(`SET client_encoding = 'SQL_ASCII'; ${names}; ALTER TABLE t DROP CONSTRAINT t_pkey, ADD UNIQUE (name), ALTER name SET NOT NULL;
      INSERT INTO t VALUES (5, E'caf\\350', 'e')`)
    for (let run = 0; run < 2; run++) {
      const { status, error } = await pair.run()
      assert.deepEqual([status, error?.code], ['failed', 'ROWS_REJECTED'])
      assert.deepEqual((await pair.right.sql('SELECT id FROM t ORDER BY id')).flat(), ['2', '3', '4'])
    }
  })

  test('hazard 32: a target in another encoding refuses the rows that it has no characters for', async () => {
    await using pair = await openPair(await postgresDatabase(), await postgresDatabase('LATIN1'))
    await pair.left.sql(
      `CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'café'), (2, 'Ж'), (3, 'plain')`,
    )
    const { error } = await pair.run()
    assert.equal(error?.code, 'ROWS_REJECTED')
    assert.deepEqual(await pair.right.sql('SELECT id, name FROM t ORDER BY id'), [
      ['1', 'café'],
      ['3', 'plain'],
    ])
  })
})

describe('point 28, hazard 31: a pooler that gives every transaction another session', { skip }, () => {
  test('hazard 31: values, staged rows and changes come through it exactly, on both sides', async () => {
    await using pooler = await startPooler(serverUrl)
    await using pair = await postgresToPostgres()
    await pair.left.sql(values)
    for (const side of [pair.left, pair.right]) {
      await setHostile(
        side.sql,
        Object.keys(hostile).filter((name) => !isTimeLimit(name)),
      )
      side.connectBy(pooler.through(side.url))
      await fill(pooler.through(side.url))
    }
    await staysEqual(pair)
  })

  test('hazard 31: settings that other users of the pool left in its sessions change nothing', async () => {
    await using pooler = await startPooler(serverUrl)
    await using pair = await postgresToPostgres()
    await pair.left.sql(values)
    for (const side of [pair.left, pair.right]) {
      side.connectBy(pooler.through(side.url))
      const path = `SET search_path TO pg_temp; SET bytea_output TO 'escape'; SET extra_float_digits TO -5; SET ROLE pg_monitor`
      await fill(pooler.through(side.url), `SELECT pg_sleep(0.1); ${path}`)
    }
    await staysEqual(pair)
  })

  test('hazard 24, 31: a worker that froze behind it is ended by the one that takes over, and no other session', async () => {
    await using pooler = await startPooler(serverUrl)
    await using database = await createDatabase()
    const config = postgres.config.parse({ url: pooler.through(database.url) })
    await using first = await postgres.open(config, testContext())
    await using second = await postgres.open(config, testContext())
    await using frozen = await openSink(first)
    await using successor = await openSink(second)
    await claim(successor, specOf({ ...items, name: 'others' }, { sync: 'other' }))
    await claim(frozen, specOf(items))
    await fill(pooler.through(database.url))
    const transaction = await frozen.begin()
    const target = await claim(successor, specOf(items))
    assert.equal(target.generation, 2)
    await assert.rejects(
      transaction.commit(),
      (error) => error instanceof SyncError && error.code === 'CONNECTION_LOST',
    )
    await (await successor.begin()).commit()
  })

  test('hazard 31: one that gives every statement another session is refused by name', async () => {
    await using pooler = await startPooler(serverUrl, { mode: 'statement' })
    await using pair = await postgresToPostgres()
    await pair.left.sql(values)
    pair.left.connectBy(pooler.through(pair.left.url))
    const { error } = await pair.run()
    assert.equal(error?.code, 'CONFIG_INVALID')
    assert.match(`${error?.message} ${error?.hint}`, /pool_mode = transaction/)
  })
})

/** Others have used the pool: it has all its sessions, and the next transaction gets any of them. */
async function fill(url: string, sql = 'SELECT pg_sleep(0.1)'): Promise<void> {
  const use = async () => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query(sql)
    await client.end()
  }
  await Promise.all(Array.from({ length: 4 }, use))
  await sleep(10)
}
