/** Tables of people may be called as relations in our statements are. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { postgresDatabase, sqliteDatabase } from '../hazards/pair.ts'
import { openTwoWay } from './pair.ts'
import { field } from './world.ts'

const root = join(import.meta.dirname, '..', '..', 'src', 'connectors', 'postgres')
const source = globSync('*.ts', { cwd: root })
  .filter((file) => !file.endsWith('.test.ts'))
  .map((file) => readFileSync(join(root, file), 'utf8'))
  .join('\n')
/** What stands after AS or WITH in upper case, as SQL is written here. */
const names = [...new Set([...source.matchAll(/\b(?:AS|WITH|RECURSIVE) ([a-z]\w*)/g)].map(([, name]) => name ?? ''))]

test(`a Postgres table called ${names.join(', ')}: inserts, updates and deletions arrive`, async () => {
  assert.ok(names.length > 10, 'the statements were not found')
  const [left, right] = [await sqliteDatabase('triggers'), await postgresDatabase()]
  await using pair = openTwoWay(left, right)
  for (const name of names) {
    await left.sql(`CREATE TABLE "${name}" (id INTEGER PRIMARY KEY, ord TEXT, c1 TEXT)`)
    await right.sql(`CREATE TABLE "${name}" (id int PRIMARY KEY, ord text, c1 text)`)
    pair.sync = {
      ...pair.sync,
      id: `of ${name}`,
      left: { connection: 'left', collection: name },
      right: { connection: 'right', collection: `public.${name}` },
      fields: [field('id'), field('ord'), field('c1')],
      match: [{ field: 'id', by: null }],
    }
    await left.sql(`INSERT INTO "${name}" VALUES (1, 'a', 'a'), (2, 'b', 'b')`)
    assert.equal(await pair.writes(), 2, name)
    await left.sql(`UPDATE "${name}" SET ord = 'c' WHERE id = 1; DELETE FROM "${name}" WHERE id = 2`)
    assert.equal(await pair.writes(), 2, name)
    assert.deepEqual(await pair.read('right', `SELECT * FROM "${name}"`), [['1', 'c', 'a']], name)
  }
})
