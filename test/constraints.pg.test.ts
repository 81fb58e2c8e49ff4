/** hazard 35: constraints that hold for sets of rows, in targets that a sync adopts: unique values and foreign keys. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import pg from 'pg'
import { deadLetters } from '../src/engine/runs/dead-letters.ts'
import { createDatabase } from '../tools/database.ts'
import { assertEqual, postgresDatabase, postgresToPostgres, postgresToSqlite } from './hazards/pair.ts'
import { ServiceProject } from './service/project.ts'
import { openTwoWay } from './two-way/pair.ts'
import { field } from './two-way/world.ts'

const kinds = { SQLite: postgresToSqlite, Postgres: postgresToPostgres }
const items = (unique: string) =>
  `CREATE TABLE t (id integer PRIMARY KEY, pos integer NOT NULL ${unique}, email text ${unique})`
const fill = "INSERT INTO t SELECT g, g, 'e' || g FROM generate_series(1, 12) g"
const loose = { maxDeletes: 1000, maxDeleteShare: 1 }

describe('point 34, hazard 35: what an adopted Postgres table holds apart by other means than a unique column', () => {
  const tables = {
    'an exclusion constraint of equal values': [
      'CREATE EXTENSION btree_gist; CREATE TABLE t (id integer PRIMARY KEY, a integer NOT NULL, EXCLUDE USING gist (a WITH =))',
      'UPDATE t SET a = 3 - a WHERE id <= 2',
    ],
    'an exclusion constraint of ranges': [
      "CREATE TABLE t (id integer PRIMARY KEY, a int4range NOT NULL DEFAULT 'empty', EXCLUDE USING gist (a WITH &&))",
      "UPDATE t SET a = CASE id WHEN 1 THEN int4range '[2,3)' ELSE int4range '[1,2)' END WHERE id <= 2",
    ],
    'an exclusion constraint of an expression': [
      'CREATE TABLE t (id integer PRIMARY KEY, a integer NOT NULL, EXCLUDE USING gist (int4range(a, a + 1) WITH &&))',
      'UPDATE t SET a = 3 - a WHERE id <= 2',
    ],
    'a unique index of an expression': [
      'CREATE TABLE t (id integer PRIMARY KEY, a text NOT NULL); CREATE UNIQUE INDEX ON t (lower(a))',
      "UPDATE t SET a = CASE id WHEN 1 THEN '2' ELSE '1' END WHERE id <= 2",
    ],
  } as const
  for (const [what, [table, swap]] of Object.entries(tables)) {
    const range = table.includes('a int4range')
    const rows = [1, 2, 3].map((id) => `(${id}, ${range ? `'[${id},${id + 1})'` : `'${id}'`})`).join(', ')
    const plain = `CREATE TABLE t (id integer PRIMARY KEY, a ${range ? 'int4range' : table.includes('a text') ? 'text' : 'integer'}); INSERT INTO t VALUES ${rows}`

    test(`${what}: swapped values settle in one run`, async () => {
      await using pair = await postgresToPostgres({ adopt: true, guard: loose })
      await pair.left.sql(plain)
      await pair.right.sql(table)
      await pair.mustRun()
      await pair.left.sql(swap)
      const run = await pair.mustRun()
      assert.deepEqual([run.updated, run.rejected], [2, 0])
      await assertEqual(pair)
    })

    test(`${what}: also two ways`, async () => {
      const [left, right] = [await postgresDatabase(), await postgresDatabase()]
      const asContacts = (sql: string) => sql.replace(/(TABLE|INTO|ON|UPDATE) t /g, '$1 contacts ')
      await left.sql(asContacts(plain))
      await right.sql(asContacts(table))
      await using pair = openTwoWay(left, right, { fields: [field('id'), field('a')] })
      assert.equal(await pair.writes(), 3)
      await left.sql(asContacts(swap))
      assert.equal(await pair.writes(), 2)
      assert.equal((await pair.verify()).equal, true)
    })
  }
})

for (const [target, open] of Object.entries(kinds))
  describe(`point 34, hazard 35: unique values in an adopted ${target} table, each settled by one run`, () => {
    const changes = {
      'two rows swap them': ['UPDATE t SET pos = 3 - pos WHERE id IN (1, 2)', 2],
      'three rows hand them on': ['UPDATE t SET pos = pos % 3 + 1 WHERE id <= 3', 3],
      'all rows move down by one for a new first': [
        "UPDATE t SET pos = pos + 1; INSERT INTO t VALUES (100, 1, 'new')",
        13,
      ],
      'all rows are turned round': ['UPDATE t SET pos = 13 - pos', 12],
      'an account is deleted and made again': ["DELETE FROM t WHERE id = 7; INSERT INTO t VALUES (107, 1000, 'e7')", 1],
      'two unique columns swap at once': ["UPDATE t SET pos = 3 - pos, email = 'e' || (3 - id) WHERE id IN (1, 2)", 2],
    } as const
    for (const [what, [change, writes]] of Object.entries(changes))
      test(what, async () => {
        await using pair = await open({ adopt: true, guard: loose })
        await pair.left.sql(`${items('UNIQUE DEFERRABLE INITIALLY DEFERRED')}; ${fill}`)
        await pair.right.sql(items('UNIQUE'))
        await pair.mustRun()
        await pair.left.sql(change)
        const run = await pair.mustRun()
        assert.deepEqual([run.inserted + run.updated, run.rejected], [writes, 0])
        await assertEqual(pair)
      })

    test('a row that is refused for another reason stays out, and the others go in', async () => {
      await using pair = await open({ adopt: true, guard: loose })
      await pair.left.sql(`${items('UNIQUE DEFERRABLE INITIALLY DEFERRED')}; ${fill}`)
      await pair.right.sql(`${items('UNIQUE')}; INSERT INTO t VALUES (500, 50, 'theirs')`)
      await pair.mustRun()
      await pair.left.sql('UPDATE t SET pos = 3 - pos WHERE id IN (1, 2); UPDATE t SET pos = 50 WHERE id = 5')
      const run = await pair.run()
      assert.deepEqual(
        [run.error?.message, run.status, run.updated, run.rejected],
        ['1 row of sync t could not be written; all others were', 'failed', 2, 1],
      )
      const letters = await deadLetters({ ...pair.sync, adopt: true }, pair.project())
      assert.deepEqual(
        letters.map(({ key, code }) => [key, code]),
        [[{ id: 5 }, 'VALUE_TAKEN']],
      )
      assert.deepEqual(await pair.right.sql('SELECT id, pos FROM t WHERE id IN (1, 2, 5) ORDER BY id'), [
        ['1', '2'],
        ['2', '1'],
        ['5', '5'],
      ])
    })
  })

describe('point 34, hazard 35: foreign keys of the target', () => {
  const schema = `CREATE TABLE zparent (id int PRIMARY KEY, v text); CREATE TABLE achild (id int PRIMARY KEY, parent int NOT NULL REFERENCES zparent, v text);
    CREATE TABLE mchild (id int PRIMARY KEY, child int NOT NULL REFERENCES achild); CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree, v text)`
  const rows = `INSERT INTO zparent SELECT g, 'p' || g FROM generate_series(1, 30) g; INSERT INTO achild SELECT g, (g + 2) / 3, 'c' || g FROM generate_series(1, 90) g;
    INSERT INTO mchild SELECT g, g FROM generate_series(1, 90) g; INSERT INTO tree SELECT g, CASE WHEN g < 30 THEN g + 1 END, 't' || g FROM generate_series(30, 1, -1) g`
  for (const target of ['SQLite', 'Postgres'] as const)
    test(`${target}: children before their parents, and deletions of both, are settled by one run each`, async () => {
      await using source = await createDatabase()
      await using copy = await createDatabase()
      const client = new pg.Client({ connectionString: source.url })
      await client.connect()
      try {
        await client.query(`${schema}; ${rows}`)
        const to =
          target === 'SQLite' ? { connector: 'sqlite', file: './copy.db' } : { connector: 'postgres', url: copy.url }
        using it = new ServiceProject({
          connections: { source: { connector: 'postgres', url: source.url }, copy: to },
          syncs: { all: { from: 'source', to: 'copy', collections: ['public.*'], adopt: true, guard: loose } },
        })
        if (target === 'SQLite') it.change('copy.db', schema)
        else {
          const other = new pg.Client({ connectionString: copy.url })
          await other.connect()
          await other.query(schema)
          await other.end()
        }
        const settled = async () => {
          for (const command of ['run', 'verify']) {
            const { code, lines, stderr } = await it.run(command)
            assert.equal(
              code,
              0,
              `${command}: ${stderr} ${JSON.stringify(lines.filter((line) => line.error != null || line.equal === false))}`,
            )
          }
        }
        await settled()
        await client.query(`DELETE FROM mchild WHERE child IN (13, 14, 15); DELETE FROM achild WHERE parent = 5; DELETE FROM zparent WHERE id = 5;
          UPDATE tree SET up = NULL WHERE id = 29; DELETE FROM tree WHERE id IN (30, 1)`)
        await settled()
        await client.query(
          'TRUNCATE zparent, achild, mchild, tree; INSERT INTO zparent VALUES (1); INSERT INTO achild VALUES (1, 1); INSERT INTO mchild VALUES (1, 1); INSERT INTO tree VALUES (1)',
        )
        await settled()
      } finally {
        await client.end()
      }
    })
})
