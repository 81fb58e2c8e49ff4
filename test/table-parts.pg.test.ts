/** Tables that are more than one heap: every part is asked what it is. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { planSync } from '../src/engine/one-way/plan.ts'
import { assertEqual, type Pair, postgresDatabase, postgresToSqlite } from './hazards/pair.ts'

/** `far.old` of another database as a foreign table here, by `statement`. */
async function attachForeign(pair: Pair, farUrl: string, statement: string): Promise<void> {
  const far = new URL(farUrl)
  await pair.left.sql(`CREATE EXTENSION postgres_fdw;
    CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '${far.hostname}', port '${far.port}', dbname '${far.pathname.slice(1)}');
    CREATE USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (user '${far.username}', password '${far.password}');
    ${statement}`)
}

describe('points 4 and 33, hazard 36: parts of a table that are foreign tables', () => {
  for (const [what, statement] of [
    [
      'a foreign partition',
      `CREATE TABLE t (id int NOT NULL, v text) PARTITION BY RANGE (id);
       CREATE FOREIGN TABLE t_old PARTITION OF t FOR VALUES FROM (1) TO (100) SERVER far OPTIONS (table_name 'old');
       CREATE TABLE t_new PARTITION OF t FOR VALUES FROM (100) TO (200)`,
    ],
    [
      'a foreign child',
      `CREATE TABLE t (id int NOT NULL, v text);
       CREATE FOREIGN TABLE t_old () INHERITS (t) SERVER far OPTIONS (table_name 'old')`,
    ],
  ] as const)
    test(`hazard 36: changes in ${what} arrive, because the table is compared, and plan says why`, async () => {
      await using far = await postgresDatabase()
      await far.sql(
        `CREATE TABLE old (id int PRIMARY KEY, v text); INSERT INTO old SELECT n, 'old' FROM generate_series(1, 50) AS n`,
      )
      await using pair = await postgresToSqlite({ key: ['id'] })
      await attachForeign(pair, far.url, statement)
      await pair.left.sql(`INSERT INTO t SELECT n, 'new' FROM generate_series(100, 150) AS n`)
      const { inserted } = await pair.mustRun()
      assert.equal(inserted, 101)
      await far.sql(`UPDATE old SET v = 'changed far away' WHERE id = 7; DELETE FROM old WHERE id = 8`)
      const plan = await planSync(pair.sync, pair.project())
      assert.match(
        plan.reading,
        /compare both sides in full: t_old is a foreign table, which has no transaction horizon/,
      )
      assert.deepEqual([plan.inserts, plan.updates, plan.deletes], [0, 1, 1])
      await pair.mustRun()
      await assertEqual(pair)
    })

  test('hazard 36: a foreign partition that is attached to a table which was followed is met by the next run', async () => {
    await using far = await postgresDatabase()
    await far.sql(
      `CREATE TABLE old (id int PRIMARY KEY, v text); INSERT INTO old SELECT n, 'old' FROM generate_series(1, 50) AS n`,
    )
    await using pair = await postgresToSqlite({ key: ['id'] })
    await pair.left.sql(`CREATE TABLE t (id int NOT NULL, v text) PARTITION BY RANGE (id);
      CREATE TABLE t_new PARTITION OF t FOR VALUES FROM (100) TO (200); INSERT INTO t SELECT n, 'new' FROM generate_series(100, 150) AS n`)
    for (let run = 0; run < 2; run++) await pair.mustRun()
    await attachForeign(
      pair,
      far.url,
      `CREATE FOREIGN TABLE t_old PARTITION OF t FOR VALUES FROM (1) TO (100) SERVER far OPTIONS (table_name 'old')`,
    )
    await pair.mustRun()
    await far.sql(`UPDATE old SET v = 'changed' WHERE id = 7`)
    await pair.mustRun()
    await assertEqual(pair)
  })
})

describe('point 31, hazard 36: inheritance', () => {
  test('hazard 36: a key that a child repeats is refused by name, and nothing is written', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(`CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE child (extra text) INHERITS (t);
      INSERT INTO t VALUES (1, 'p1'), (2, 'p2'); INSERT INTO child VALUES (2, 'c2', 'x'), (3, 'c3', 'y')`)
    const { error, inserted } = await pair.run()
    assert.deepEqual([error?.code, inserted], ['KEY_DUPLICATE', 0])
    assert.match(`${error?.message} ${error?.hint}`, /several rows of public\.t have the same \(id\).*inherits/)
  })

  test('hazard 36: a parent and its children with keys of their own are one table, also when a child repeats one later', async () => {
    await using pair = await postgresToSqlite()
    await pair.left.sql(`CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE child (w text, PRIMARY KEY (id)) INHERITS (t);
      INSERT INTO t VALUES (1, 'a'); INSERT INTO child VALUES (2, 'b', 'w')`)
    await pair.mustRun()
    await pair.left.sql(`UPDATE child SET v = 'c'; INSERT INTO child VALUES (3, 'd', 'w')`)
    await pair.mustRun()
    await assertEqual(pair)
    await pair.left.sql(`INSERT INTO child VALUES (1, 'again', 'w')`)
    assert.equal((await pair.run()).error?.code, 'KEY_DUPLICATE')
    await pair.left.sql('DELETE FROM ONLY t WHERE id = 1')
    await pair.mustRun()
    await assertEqual(pair)
  })
})
