/** hazard 33: SQLite columns that compare without case or blanks. Syncline compares bytes, and keeps the index. */
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { keysSql } from '../src/connectors/sqlite/spelling.ts'
import { deadLetters } from '../src/engine/runs/dead-letters.ts'
import { assertEqual, sqliteDatabase, sqliteToSqlite } from './hazards/pair.ts'
import { openTwoWay } from './two-way/pair.ts'
import { field } from './two-way/world.ts'

const adopt = { adopt: true } as const

describe('point 32, hazard 33: columns that compare without case or blanks', () => {
  test('a change of case or of blanks alone arrives, followed and compared, and verify sees it', async () => {
    await using pair = await sqliteToSqlite('triggers', adopt)
    await pair.left.sql(
      `CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, nick TEXT); INSERT INTO t VALUES (1, 'mcdonald', 'mac'), (2, 'bob', 'b'), (3, 'eve', 'e')`,
    )
    await pair.right.sql('CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, nick TEXT COLLATE RTRIM)')
    await pair.mustRun()
    await pair.left.sql(`UPDATE t SET name = 'McDonald' WHERE id = 1; UPDATE t SET nick = 'b   ' WHERE id = 2`)
    assert.equal((await pair.mustRun()).updated, 2)
    await assertEqual(pair)
    await pair.right.sql(`UPDATE t SET name = 'EVE' WHERE id = 3`)
    assert.deepEqual(await pair.verify().then(({ equal, different }) => [equal, different]), [false, 1])
    assert.equal((await pair.mustRun({ mode: 'full' })).updated, 1)
    await assertEqual(pair)
  })

  test('two keys that the target takes for one: one of them is a rejected row in words, and no row changes hands', async () => {
    await using pair = await sqliteToSqlite('triggers', adopt)
    await pair.left.sql(
      `CREATE TABLE t (id TEXT PRIMARY KEY, note TEXT); INSERT INTO t VALUES ('a', 'small'), ('A', 'large'), ('b', 'b')`,
    )
    await pair.right.sql('CREATE TABLE t (id TEXT COLLATE NOCASE PRIMARY KEY, note TEXT)')
    for (let again = 0; again < 3; again++) {
      const run = await pair.run()
      assert.deepEqual([run.status, run.rejected, run.updated], ['failed', 1, 0])
      const [letter, ...others] = await deadLetters({ ...pair.sync, ...adopt }, pair.project())
      assert.deepEqual([letter?.code, others], ['KEY_TAKEN', []])
      assert.match(String(letter?.message), /takes its key for the key of another row/)
      assert.equal((await pair.right.sql('SELECT * FROM t')).length, 2)
    }
    const kept = String((await pair.right.sql(`SELECT id FROM t WHERE id = 'a'`))[0])
    await pair.left.sql(`DELETE FROM t WHERE id = '${kept}'`)
    for (let again = 0; again < 2; again++) await pair.run({ guard: { maxDeletes: 10, maxDeleteShare: 1 } })
    await assertEqual(pair)
  })

  for (const columns of [
    'id TEXT COLLATE NOCASE PRIMARY KEY, name TEXT',
    'id TEXT COLLATE RTRIM, name TEXT, PRIMARY KEY (id, name)',
  ])
    test(`of two sides, too (${columns})`, async () => {
      const [left, right] = [await sqliteDatabase('triggers'), await sqliteDatabase('triggers')]
      const isPair = columns.includes('(id, name)')
      const [first, second] = isPair ? ['a', 'a  '] : ['a', 'A']
      await left.sql(`CREATE TABLE contacts (${columns.replace(/COLLATE \w+/, '')})`)
      await left.sql(`INSERT INTO contacts VALUES ('${first}', 'x'), ('${second}', 'x')`)
      await right.sql(`CREATE TABLE contacts (${columns})`)
      await using pair = openTwoWay(left, right, { fields: [field('id'), field('name')] })
      for (let again = 0; again < 2; again++) {
        const record = await pair.run()
        assert.deepEqual([record.error?.code, record.rejected], ['ROWS_REJECTED', 1], record.error?.message)
        await using reader = await pair.store.pairs.read(pair.sync.id)
        const { pairs, unpaired } = await reader.waiting()
        assert.deepEqual(
          [...pairs, ...unpaired].map(({ code }) => code),
          ['KEY_TAKEN'],
        )
      }
      const [kept] = await pair.read('right', 'SELECT id FROM contacts')
      await left.sql(`DELETE FROM contacts WHERE id = '${kept?.[0]}'`)
      await pair.run()
      await pair.run()
      assert.equal((await pair.verify()).equal, true)
      assert.notDeepEqual(await pair.read('right', 'SELECT id FROM contacts'), [kept])
    })

  test('rows are looked up by the bytes of their keys in a source without case', async () => {
    await using pair = await sqliteToSqlite('triggers')
    await pair.left.sql(
      `CREATE TABLE t (id TEXT COLLATE NOCASE PRIMARY KEY, note TEXT); INSERT INTO t VALUES ('a', 'x')`,
    )
    await pair.mustRun()
    await pair.left.sql(`UPDATE t SET id = 'A', note = 'y'`)
    await pair.run({ guard: { maxDeletes: 10, maxDeleteShare: 1 } })
    assert.deepEqual(await pair.right.sql('SELECT id, note FROM t'), [['A', 'y']])
    await assertEqual(pair)
  })

  test('the index of the column finds the row', () => {
    using database = new DatabaseSync(':memory:')
    database.exec(
      'CREATE TABLE t (a TEXT COLLATE NOCASE, b TEXT, c, PRIMARY KEY (a, b)); CREATE UNIQUE INDEX c ON t (c)',
    )
    const planOf = (condition: string) =>
      database
        .prepare(`EXPLAIN QUERY PLAN SELECT * FROM t WHERE ${condition}`)
        .all()
        .map(({ detail }) => String(detail))
        .join('; ')
    assert.match(planOf(keysSql(['"a"', '"b"'], 3, true)), /SEARCH t USING INDEX sqlite_autoindex_t_1/)
    assert.match(planOf(keysSql(['"c"'], 3, true)), /SEARCH t USING INDEX c/)
  })
})
