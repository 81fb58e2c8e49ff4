/** What the oracle found, each as small as it can be. */
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createDatabase, temporaryFolder } from '../../tools/database.ts'
import { call, start, writeConfig } from './project.ts'

/** From a Postgres database to another, or to a SQLite file. */
async function fromPostgresTo(
  target: 'sqlite' | 'postgres',
  work: (project: {
    sql: (sql: string) => Promise<unknown>
    run: () => Promise<void>
    verify: () => Promise<void>
  }) => Promise<void>,
): Promise<void> {
  await using database = await createDatabase()
  await using other = await createDatabase()
  await using folder = await temporaryFolder()
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  const targets = {
    sqlite: { connector: 'sqlite', file: './target.db' },
    postgres: { connector: 'postgres', url: other.url },
  }
  try {
    await writeConfig(folder.path, {
      connections: { source: { connector: 'postgres', url: database.url }, target: targets[target] },
      syncs: { t: { from: 'source.t', to: 'target.t' } },
    })
    await work({
      sql: (sql) => client.query(sql),
      run: async () => assert.equal((await call(folder.path, 'run')).code, 0),
      verify: async () =>
        assert.deepEqual(
          (await call(folder.path, 'verify')).lines.map(({ equal }) => equal),
          [true],
        ),
    })
  } finally {
    await client.end()
  }
}

describe('columns that change every row and touch none (hazard 12)', () => {
  for (const [name, change] of [
    ['a column is dropped and made anew', 'ALTER TABLE t DROP COLUMN b, ADD COLUMN b text'],
    [
      'two columns exchange their names',
      'ALTER TABLE t RENAME a TO c; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME c TO b',
    ],
    ['a virtual column gets another expression', 'ALTER TABLE t ALTER COLUMN v SET EXPRESSION AS (id + 2)'],
    ['a label of an enum is renamed', `ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'`],
    ['an attribute is added to a composite type', 'ALTER TYPE pair ADD ATTRIBUTE z int'],
  ] as const) {
    test(`${name}: the next run compares in full`, () =>
      fromPostgresTo('sqlite', async ({ sql, run, verify }) => {
        await sql(
          `CREATE TYPE mood AS ENUM ('ok'); CREATE TYPE pair AS (x int, y int);
           CREATE TABLE t (id int PRIMARY KEY, a text, b text, m mood[], p pair, v int GENERATED ALWAYS AS (id + 1) VIRTUAL);
           INSERT INTO t VALUES (1, 'x', 'y', '{ok}', '(1,2)'), (2, 'z', null, null, null)`,
        )
        await run()
        await sql(change)
        await run()
        await verify()
      }))
  }
})

test('a run that waited for an ALTER TABLE reads rows by the new types (hazard 12)', async () => {
  await using database = await createDatabase()
  await using folder = await temporaryFolder()
  const [one, two] = [
    new pg.Client({ connectionString: database.url }),
    new pg.Client({ connectionString: database.url }),
  ]
  await Promise.all([one.connect(), two.connect()])
  try {
    await writeConfig(folder.path, {
      connections: {
        source: { connector: 'postgres', url: database.url },
        target: { connector: 'sqlite', file: './target.db' },
      },
      syncs: { t: { from: 'source.t', to: 'target.t' } },
    })
    await one.query('CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1), (2, 2)')
    assert.equal((await call(folder.path, 'run')).code, 0)
    await one.query('BEGIN; ALTER TABLE t ALTER a TYPE numeric USING a + 0.5')
    const running = start(folder.path, 'run')
    const waiting = `SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 't'::regclass`
    while ((await two.query(waiting)).rows.length === 0) await sleep(20)
    await one.query('COMMIT')
    assert.equal((await running.ended).code, 0)
    using target = new DatabaseSync(`${folder.path}/target.db`)
    assert.deepEqual(
      target
        .prepare('SELECT a FROM t ORDER BY id')
        .all()
        .map(({ a }) => a),
      ['1.5', '2.5'],
    )
  } finally {
    await Promise.all([one.end(), two.end()])
  }
})

for (const target of ['sqlite', 'postgres'] as const) {
  test(`a key that is spelled anew and equals the old one is spelled anew in ${target}, too`, () =>
    fromPostgresTo(target, async ({ sql, run, verify }) => {
      await sql(`CREATE TABLE t (id interval PRIMARY KEY, a int); INSERT INTO t VALUES ('1 day', 1), ('2 days', 2)`)
      await run()
      await sql(`UPDATE t SET id = '24:00:00' WHERE a = 1`)
      await run()
      await verify()
    }))
}
