import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { main } from '../src/cli/main.ts'
import { temporaryFolder } from '../tools/database.ts'

test('a widened column leaves people’s views, indexes and triggers on a SQLite target as they are', async () => {
  await using folder = await temporaryFolder()
  const config = {
    connections: { from: { connector: 'sqlite', file: './from.db' }, to: { connector: 'sqlite', file: './to.db' } },
    syncs: { w: { from: 'from.w', to: 'to' } },
  }
  await writeFile(join(folder.path, 'syncline.config.json'), JSON.stringify(config))
  const terminal = { columns: null, out: () => {}, err: () => {}, paint: (_style: string, text: string) => text }
  const run = () =>
    main(
      ['--config', join(folder.path, 'syncline.config.json'), 'run'],
      terminal as unknown as Parameters<typeof main>[1],
    )
  const source = new DatabaseSync(join(folder.path, 'from.db'))
  source.exec('CREATE TABLE w (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO w VALUES (1, 10), (2, 20)')
  assert.equal(await run(), 0)
  const target = new DatabaseSync(join(folder.path, 'to.db'))
  target.exec(`CREATE INDEX by_n ON w (n); CREATE VIEW seen AS SELECT n FROM w; CREATE TABLE log (id INTEGER);
    CREATE TRIGGER noted AFTER INSERT ON w BEGIN INSERT INTO log VALUES (NEW.id); END`)
  source.exec(`CREATE TABLE x (id INTEGER PRIMARY KEY, n NUMERIC); INSERT INTO x SELECT * FROM w; DROP TABLE w;
    ALTER TABLE x RENAME TO w; INSERT INTO w VALUES (3, 1.5)`)
  source.close()
  assert.equal(await run(), 0)
  const column = (sql: string) =>
    target
      .prepare(sql)
      .all()
      .map((row) => String(Object.values(row)[0]))
  assert.deepEqual(column('SELECT n FROM seen ORDER BY 1'), ['1.5', '10', '20'])
  assert.deepEqual(
    column(`SELECT name FROM sqlite_schema WHERE tbl_name = 'w' AND type IN ('index', 'trigger') ORDER BY 1`),
    ['by_n', 'noted'],
  )
  assert.deepEqual(column('SELECT id FROM log'), ['3'])
  target.close()
})
