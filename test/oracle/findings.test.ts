/** What the oracle found with SQLite on both sides, each as small as it can be. */
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { temporaryFolder } from '../../tools/database.ts'
import { call, type Finished, writeConfig } from './project.ts'

interface Small {
  /** Runs SQL at the source. */
  sql(sql: string): void
  /** Rows of the target's table t. */
  rows(): unknown[]
  run(): Promise<Finished | undefined>
  /** Whether verify says equal. */
  equal(): Promise<unknown>
}

async function sqliteToSqlite(track: 'none' | 'triggers', work: (small: Small) => Promise<void>): Promise<void> {
  await using folder = await temporaryFolder()
  await writeConfig(folder.path, {
    connections: {
      source: { connector: 'sqlite', file: './source.db', track },
      target: { connector: 'sqlite', file: './target.db' },
    },
    syncs: { t: { from: 'source.t', to: 'target.t' } },
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
})
