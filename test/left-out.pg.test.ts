/** Tables and views of a Postgres schema that raise while they are read: each fails by its name, or by the keys of its rows, and the others go on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { postgresDatabase, postgresToSqlite } from './hazards/pair.ts'
import { ServiceProject } from './service/project.ts'

const rows = `INSERT INTO books VALUES (1, 'a'), (2, 'b'), (3, 'c')`
const copy = { connector: 'sqlite', file: './copy.db' }

const raising = {
  divided: 'SELECT id, 1 / (id - 2) AS n FROM books',
  spelled: 'SELECT id, title::integer AS n FROM books',
  filtered: 'SELECT id, title FROM books WHERE 1 / (id - 2) > 0',
  called: 'SELECT id, raises(title) AS n FROM books',
} as const

test('points 38 and 45: a view that raises while it is read fails by its name, and the others run', async () => {
  await using source = await postgresDatabase()
  const views = Object.entries(raising).map(([name, sql]) => `CREATE VIEW ${name} AS ${sql}`)
  await source.sql(`CREATE TABLE books (id integer PRIMARY KEY, title text); ${rows};
    CREATE FUNCTION raises(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no % here', $1; END $$;
    CREATE VIEW fine AS SELECT id, upper(title) AS title FROM books; ${views.join('; ')}`)
  const names = ['fine', ...Object.keys(raising), 'books']
  const app = { connector: 'postgres', url: source.url }
  const syncs = names.map((name) => [name, { from: `app.public.${name}`, to: 'copy', key: ['id'] }])
  using it = new ServiceProject({ connections: { app, copy }, syncs: Object.fromEntries(syncs) })
  const { code, lines } = await it.run('run')
  const ended = lines.filter(({ event }) => event === 'run.finished')
  assert.deepEqual(
    ended.map(({ sync, status, error }) => [sync, status, Object(error).code]),
    names.map((name) =>
      Object.hasOwn(raising, name) ? [name, 'failed', 'VALUE_REFUSED'] : [name, 'succeeded', undefined],
    ),
  )
  assert.match(String(Object(ended[1]?.error).message), /refused: division by zero/)
  assert.equal(code, 1)
  assert.equal(it.query('copy.db', 'SELECT count(*) AS rows FROM fine')[0]?.rows, 3)
})

test('point 45: in a pattern, a table whose policy raises fails by its name; views, which have no key, are left out by theirs', async () => {
  await using source = await postgresDatabase()
  await source.sql(`CREATE TABLE books (id integer PRIMARY KEY, title text); ${rows};
    CREATE TABLE authors (LIKE books INCLUDING ALL); INSERT INTO authors SELECT * FROM books;
    CREATE TABLE closed (LIKE books INCLUDING ALL); INSERT INTO closed SELECT * FROM books;
    ALTER TABLE closed ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON closed USING (1 / (id - 2) > 0);
    CREATE VIEW divided AS ${raising.divided}`)
  const role = `reader_${Math.random().toString(36).slice(2)}`
  await source.connectAs(role)
  await source.sql(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${role}`)
  const url = new URL(source.url)
  url.username = role
  url.password = 'secret'
  using it = new ServiceProject({
    connections: { app: { connector: 'postgres', url: url.href }, copy },
    syncs: { all: { from: 'app', to: 'copy', collections: ['*'] } },
  })
  for (const command of ['run', 'plan', 'verify']) {
    const { code, lines } = await it.run(command)
    const left = lines.filter(({ event }) => event === 'sync.left-out').map(({ sync }) => sync)
    assert.deepEqual(left, ['all/divided'], command)
    const told = JSON.stringify(lines.filter(({ error }) => error !== undefined && error !== null))
    assert.match(told, /all\/closed.*division by zero/, command)
    assert.doesNotMatch(told, /INTERNAL/)
    assert.notEqual(code, 0, command)
  }
  for (const table of ['authors', 'books'])
    assert.equal(it.query('copy.db', `SELECT count(*) AS rows FROM ${table}`)[0]?.rows, 3)
})

test('a generated column that raises for one row refuses that row, and the others go on', async () => {
  await using pair = await postgresToSqlite()
  await pair.left.sql(`CREATE TABLE t (id integer PRIMARY KEY, n integer GENERATED ALWAYS AS (10 / (id - 2)) VIRTUAL);
    INSERT INTO t (id) SELECT * FROM generate_series(1, 5000)`)
  for (let again = 0; again < 2; again++) {
    const run = await pair.run()
    assert.deepEqual([run.inserted, run.rejected, run.error?.code], [again === 0 ? 4999 : 0, 1, 'ROWS_REJECTED'])
  }
  assert.match(
    String((await pair.right.sql('SELECT key, message FROM _syncline_rejected'))[0]),
    /\[2\].*division by zero/,
  )
  const { equal, unreadable, missing } = await pair.verify()
  assert.deepEqual([equal, unreadable, missing], [false, 1, 0])
  await pair.left.sql('DELETE FROM t WHERE id = 2')
  await pair.mustRun()
  assert.equal((await pair.verify()).equal, true)
})
