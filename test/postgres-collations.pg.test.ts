/** Text is compared by its bytes, whatever the collation of a column says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertEqual, postgresToPostgres } from './hazards/pair.ts'

test('hazard 33: a change of case arrives in columns that compare without case', async () => {
  await using pair = await postgresToPostgres({ adopt: true })
  await pair.left.sql(`CREATE TABLE t (id int PRIMARY KEY, name text, nick varchar(30), short text);
    INSERT INTO t VALUES (1, 'mcdonald', 'mac', 'a'), (2, 'bob', 'b', 'b')`)
  await pair.right.sql(`CREATE EXTENSION citext; CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE TABLE t (id int PRIMARY KEY, name text COLLATE ci, nick varchar(30) COLLATE ci, short citext)`)
  await pair.mustRun()
  await pair.left.sql(`UPDATE t SET name = 'McDonald' WHERE id = 1; UPDATE t SET nick = 'B', short = 'B' WHERE id = 2`)
  const { updated } = await pair.mustRun()
  assert.equal(updated, 2)
  assert.deepEqual(await pair.right.sql('SELECT * FROM t ORDER BY id'), [
    ['1', 'McDonald', 'mac', 'a'],
    ['2', 'bob', 'B', 'B'],
  ])
  await assertEqual(pair)
})
