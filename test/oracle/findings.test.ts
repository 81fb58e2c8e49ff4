/** What the oracle found with SQLite on both sides, each as small as it can be. */
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { temporaryFolder } from '../../tools/database.ts'
import { call, type Finished, start, writeConfig } from './project.ts'

interface Small {
  /** Runs SQL at the source. */
  sql(sql: string): void
  /** Rows of the target's table t. */
  rows(): unknown[]
  run(): Promise<Finished | undefined>
  /** Begins a run with tiny batches, and interrupts it as soon as rows are in the target. */
  interrupted(): Promise<void>
  /** What plan announces. */
  plan(): Promise<unknown[]>
  /** Whether verify says equal. */
  equal(): Promise<unknown>
}

async function sqliteToSqlite(
  track: 'none' | 'triggers',
  work: (small: Small) => Promise<void>,
  sync: object = {},
): Promise<void> {
  await using folder = await temporaryFolder()
  await writeConfig(folder.path, {
    connections: {
      source: { connector: 'sqlite', file: './source.db', track },
      target: { connector: 'sqlite', file: './target.db' },
    },
    syncs: { t: { from: 'source.t', to: 'target.t', batch: { rows: 100 }, guard: { maxDeletes: 1_000_000 }, ...sync } },
  })
  const open = (name: string) => new DatabaseSync(`${folder.path}/${name}.db`, { timeout: 5000 })
  await work({
    sql: (sql) => {
      using database = open('source')
      database.exec(sql)
    },
    rows: () => {
      using database = open('target')
      return database
        .prepare('SELECT * FROM t ORDER BY 1')
        .all()
        .map((row) => Object.values(row))
    },
    run: async () => (await call(folder.path, 'run')).finished[0],
    plan: async () =>
      (await call(folder.path, 'plan')).lines.map(({ inserts, updates, deletes }) => [inserts, updates, deletes]),
    interrupted: async () => {
      const running = start(folder.path, 'run')
      await running.until(({ event, inserted }) => event === 'run.progress' && Number(inserted) > 0)
      running.kill('SIGINT')
      assert.equal((await running.ended).code, 130)
    },
    equal: async () => (await call(folder.path, 'verify')).lines[0]?.equal,
  })
}

describe('columns of a SQLite file hold what their declared type says', () => {
  test('booleans, and numbers in a JSON column, are read', () =>
    sqliteToSqlite('none', async ({ sql, rows, run, equal }) => {
      sql(
        `CREATE TABLE t (id INTEGER PRIMARY KEY, b BOOLEAN, j JSON); INSERT INTO t VALUES (1, true, '1.50'), (2, false, '7'), (3, null, '{"a": 1}')`,
      )
      assert.equal((await run())?.status, 'succeeded')
      assert.deepEqual(rows(), [
        [1, 1, '1.5'],
        [2, 0, '7'],
        [3, null, '{"a": 1}'],
      ])
      assert.equal(await equal(), true)
    }))

  test('bytes and fractions in an INTEGER column, and numbers in a DATE column, are refused and not bent', () =>
    sqliteToSqlite('none', async ({ sql, rows, run }) => {
      sql(
        `CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, d DATE); INSERT INTO t VALUES (1, x'313233', null), (2, 1.5, null), (3, null, 9223372036854775807), (4, 4, '2025-01-31')`,
      )
      const finished = await run()
      assert.deepEqual([finished?.status, finished?.code], ['failed', 'ROWS_REJECTED'])
      assert.deepEqual(rows(), [[4, 4, '2025-01-31']])
    }))

  const epochs = `CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME, seen TIMESTAMP);
    INSERT INTO t VALUES (1, 1700000000, 1700000000.25), (2, -5, 3), (3, 9007199254740993, null), (4, '2025-01-31', 1)`
  test('epochs in a DATETIME column are refused, and read where the config says that they are numbers', async () => {
    await sqliteToSqlite('triggers', async ({ sql, rows, run }) => {
      sql(epochs)
      assert.equal((await run())?.code, 'ROWS_REJECTED')
      assert.deepEqual(rows(), [])
    })
    await sqliteToSqlite(
      'triggers',
      async ({ sql, rows, run, plan, equal }) => {
        sql(epochs)
        assert.equal((await run())?.status, 'succeeded')
        assert.deepEqual(rows(), [
          [1, 1700000000, '1700000000.25'],
          [2, -5, '3'],
        ])
        assert.equal(await equal(), true)
        assert.deepEqual(await plan(), [[0, 0, 0]])
        sql('UPDATE t SET at = 1700000001 WHERE id = 1')
        assert.equal((await run())?.written, 1)
      },
      {
        fields: {
          id: 'id',
          at: { from: 'at', type: 'integer' },
          seen: { from: 'seen', type: 'decimal' },
        },
        where: { at: { '<': 2_000_000_000 } },
      },
    )
  })

  test('an epoch beyond 2^53 is refused as a float, and so is a text among the numbers', () =>
    sqliteToSqlite(
      'none',
      async ({ sql, rows, run }) => {
        sql(epochs)
        assert.equal((await run())?.code, 'ROWS_REJECTED')
        assert.deepEqual(rows(), [
          [1, 1700000000],
          [2, -5],
        ])
      },
      { fields: { id: 'id', at: { from: 'at', type: 'float' } } },
    ))
})

test('a table of which every row is refused is not called equal to an empty one', () =>
  sqliteToSqlite('none', async ({ sql, run, equal }) => {
    sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 'one'), (2, 'two')`)
    assert.equal((await run())?.code, 'ROWS_REJECTED')
    assert.equal(await equal(), false)
  }))

describe('a followed SQLite table whose schema changed', () => {
  test('a column that was dropped and made anew is compared in full (hazard 12)', () =>
    sqliteToSqlite('triggers', async ({ sql, run, equal }) => {
      sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y')`)
      await run()
      sql('ALTER TABLE t DROP COLUMN a; ALTER TABLE t ADD COLUMN a TEXT')
      await run()
      assert.equal(await equal(), true)
    }))

  test('the next run but one follows again, and a column of another table is no reason to compare', () =>
    sqliteToSqlite('triggers', async ({ sql, run }) => {
      sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y')`)
      assert.equal((await run())?.read, 2)
      assert.equal((await run())?.read, 0)
      sql(
        'CREATE TABLE u (id INTEGER PRIMARY KEY, a TEXT, b TEXT); INSERT INTO u SELECT *, 1 FROM t; DROP TABLE t; ALTER TABLE u RENAME TO t',
      )
      assert.equal((await run())?.read, 2)
      await run()
      assert.equal((await run())?.read, 0)
    }))

  test('a table that was renamed leaves its triggers to the table that took its name', () =>
    sqliteToSqlite('triggers', async ({ sql, run, equal }) => {
      sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y')`)
      await run()
      sql(
        'ALTER TABLE t RENAME TO old; CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t SELECT * FROM old',
      )
      await run()
      await run()
      assert.equal((await run())?.read, 0)
      sql(`UPDATE t SET a = 'z' WHERE id = 2`)
      assert.equal((await run())?.read, 1)
      assert.equal(await equal(), true)
    }))
})

test('a key that no trigger can write down does not stop the one who writes it', () =>
  sqliteToSqlite('triggers', async ({ sql, rows, run }) => {
    sql(`CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT); INSERT INTO t VALUES ('1', 'x')`)
    await run()
    sql(`INSERT INTO t VALUES (x'00', 'y'), ('2', 'z'); UPDATE t SET a = 'new'; DELETE FROM t WHERE id = '1'`)
    await run()
    assert.deepEqual(rows(), [['2', 'new']])
  }))

test('an interrupted copy of a WITHOUT ROWID table begins anew, though both sides have as many rows (hazard 5)', () =>
  sqliteToSqlite('triggers', async ({ sql, rows, run, interrupted, equal }) => {
    sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) WITHOUT ROWID;
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600000) INSERT INTO t SELECT i, 'x' FROM n`)
    await interrupted()
    const copied = rows().length
    assert.ok(copied > 0 && copied < 300_000, `${copied} rows were copied`)
    sql(`DELETE FROM t WHERE id <= ${copied} OR id > ${2 * copied}`)
    await run()
    assert.equal(await equal(), true)
  }))

describe('keys that a SQLite file spells in its own way', () => {
  for (const [type, keys] of [
    ['NUMERIC', '(1e20), (2e20), (1e-7), (3), (123456.75), (-0.25)'],
    ['UUID', `('B0000000-0000-4000-8000-000000000000'), ('a0000000-0000-4000-8000-000000000000')`],
  ] as const) {
    test(`${type} keys have one order on both sides`, () =>
      sqliteToSqlite('none', async ({ sql, run, plan, equal }) => {
        sql(`CREATE TABLE t (id ${type} PRIMARY KEY); INSERT INTO t VALUES ${keys}`)
        await run()
        assert.deepEqual(await plan(), [[0, 0, 0]])
        assert.equal(await equal(), true)
      }))
  }

  test('a filter on a NUMERIC column reads integers beyond 2^53', () =>
    sqliteToSqlite(
      'none',
      async ({ sql, rows, run }) => {
        sql('CREATE TABLE t (id TEXT PRIMARY KEY, n NUMERIC); INSERT INTO t VALUES (1, 9223372036854775807), (2, 5)')
        assert.equal((await run())?.status, 'succeeded')
        assert.deepEqual(rows(), [['1', '9223372036854775807']])
      },
      { where: { n: { '>': 5 } } },
    ))
})
