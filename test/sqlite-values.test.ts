/** What other programs write into SQLite files: text that is none, values of any class in any column. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FieldRule } from '../src/core/sync.ts'
import type { Type } from '../src/core/value.ts'
import { deadLetters } from '../src/engine/runs/dead-letters.ts'
import { assertEqual, type Pair, sqliteToSqlite } from './hazards/pair.ts'

async function refused(pair: Pair, over: Partial<Pair['sync']> = {}): Promise<readonly unknown[]> {
  return (await deadLetters({ ...pair.sync, ...over }, pair.project())).map(({ key }) => key)
}

const read = (name: string, type: Type): ReadonlyMap<string, FieldRule> =>
  new Map<string, FieldRule>([
    ['id', { kind: 'from', from: 'id' }],
    [name, { kind: 'from', from: name, type }],
  ])

describe('point 29, hazard 32: text of a SQLite file that is not UTF-8', () => {
  // café in Latin-1, plain text, café in UTF-8, a surrogate, and a text that holds U+FFFD itself.
  const rows = `(1, CAST(x'636166e9' AS TEXT)), (2, 'plain'), (3, 'café'), (4, CAST(x'eda080' AS TEXT)), (5, char(65533))`
  const tables = {
    'a table with rowids': 'CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT)',
    'a table without rowids': 'CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT) WITHOUT ROWID',
    'a table whose key is text': `CREATE TABLE t (id TEXT PRIMARY KEY, note TEXT)`,
  }
  for (const [name, table] of Object.entries(tables))
    for (const track of ['none', 'triggers'] as const)
      test(`${name}, ${track}: such a row is rejected, the others are copied, and every run ends`, async () => {
        await using pair = await sqliteToSqlite(track)
        await pair.left.sql(`${table}; INSERT INTO t VALUES ${rows}`)
        for (let again = 0; again < 2; again++) {
          const run = await pair.run()
          assert.deepEqual([run.status, run.error?.code, run.rejected], ['failed', 'ROWS_REJECTED', 2])
          assert.deepEqual(
            (await pair.right.sql('SELECT id, hex(note) FROM t ORDER BY id')).map((row) => row.join(' ')),
            ['2 706C61696E', '3 636166C3A9', '5 EFBFBD'],
          )
          assert.deepEqual(
            (await refused(pair)).map((key) => Number(Object(key).id)),
            [1, 4],
          )
          assert.equal((await pair.verify()).equal, false)
        }
        await pair.left.sql(`UPDATE t SET note = 'mended' WHERE id IN (1, 4)`)
        assert.equal((await pair.mustRun()).inserted, 2)
        await assertEqual(pair)
      })

  test('declared as bytes it is copied as it is', async () => {
    const fields = read('note', 'bytes')
    await using pair = await sqliteToSqlite('none', { fields })
    await pair.left.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO t VALUES ${rows}`)
    await pair.mustRun()
    assert.deepEqual(await pair.right.sql('SELECT id, note FROM t'), [
      ['1', '636166e9'],
      ['2', '706c61696e'],
      ['3', '636166c3a9'],
      ['4', 'eda080'],
      ['5', 'efbfbd'],
    ])
    await assertEqual(pair)
  })

  for (const table of ['(name TEXT PRIMARY KEY, v INT)', '(name TEXT PRIMARY KEY, v INT) WITHOUT ROWID'])
    test(`keys ${table}: each such row is counted, and the run ends`, async () => {
      await using pair = await sqliteToSqlite('none')
      await pair.left.sql(
        `CREATE TABLE t ${table}; INSERT INTO t VALUES (CAST(x'e9' AS TEXT), 1), (CAST(x'e8' AS TEXT), 2), ('a', 3)`,
      )
      for (let again = 0; again < 2; again++) {
        const run = await pair.run()
        assert.deepEqual([run.status, run.rejected], ['failed', 2])
        assert.deepEqual(await pair.right.sql('SELECT name, v FROM t'), [['a', '3']])
      }
      await pair.left.sql("DELETE FROM t WHERE v = 1; UPDATE t SET name = 'b' WHERE v = 2")
      assert.equal((await pair.mustRun()).inserted, 1)
      await assertEqual(pair)
    })

  test('a file in UTF-16 is read as it is', async () => {
    await using pair = await sqliteToSqlite('none')
    await pair.left.sql(
      `/* first of all */ PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT);
       INSERT INTO t VALUES (1, 'café'), (2, char(65533)), (3, CAST(x'00d84100' AS TEXT))`,
    )
    const run = await pair.run()
    assert.deepEqual([run.error?.code, run.inserted, run.rejected], ['ROWS_REJECTED', 2, 1])
    assert.deepEqual(await pair.right.sql('SELECT id, hex(note) FROM t'), [
      ['1', '636166C3A9'],
      ['2', 'EFBFBD'],
    ])
  })
})

describe('point 39: columns that hold other than they declare', () => {
  const cases: readonly {
    readonly declared: string
    readonly values: string
    readonly as: Type
    readonly gives: readonly (string | null)[]
  }[] = [
    {
      declared: '',
      values: "1, 'two', 3.5, 4.0, 9223372036854775807",
      as: 'text',
      gives: ['1', 'two', '3.5', '4.0', '9223372036854775807'],
    },
    { declared: 'INTEGER', values: "42, 'unknown', null", as: 'text', gives: ['42', 'unknown', null] },
    { declared: 'BLOB', values: "'text', x'6162'", as: 'text', gives: ['text', 'ab'] },
    { declared: 'BLOB', values: "'text', x'00ff'", as: 'bytes', gives: ['74657874', '00ff'] },
    {
      declared: 'BOOLEAN',
      values: "'t', 'f', 'yes', 'NO', 1, 0",
      as: 'boolean',
      gives: ['1', '0', '1', '0', '1', '0'],
    },
    { declared: 'BOOLEAN', values: "'t', 'f', 2", as: 'text', gives: ['t', 'f', '2'] },
    {
      declared: 'DATETIME',
      values: "'2024-01-02 03:04:05', 1704164645, 2460311.5",
      as: 'text',
      gives: ['2024-01-02 03:04:05', '1704164645', '2460311.5'],
    },
    { declared: 'TEXT', values: "'12', '-7'", as: 'integer', gives: ['12', '-7'] },
    { declared: 'TEXT', values: "'1.50', '2'", as: 'decimal', gives: ['1.50', '2'] },
    { declared: 'DATETIME', values: "'2024-01-02 03:04:05'", as: 'timestamp', gives: ['2024-01-02T03:04:05.000000'] },
  ]
  for (const { declared, values, as, gives } of cases)
    test(`${declared || 'no type'} with ${values} is read as ${as}`, async () => {
      const guard = { maxDeletes: 10, maxDeleteShare: 1 }
      await using pair = await sqliteToSqlite('triggers', { fields: read('v', as), guard })
      await pair.left.sql(
        `CREATE TABLE t (id INTEGER PRIMARY KEY, v ${declared});
         INSERT INTO t (v) SELECT column1 FROM (VALUES ${values.split(', ').map((one) => `(${one})`)})`,
      )
      await pair.mustRun()
      assert.deepEqual((await pair.right.sql('SELECT v FROM t ORDER BY id')).flat(), gives)
      await assertEqual(pair)
      await pair.left.sql('UPDATE t SET v = v; INSERT INTO t (v) SELECT v FROM t; DELETE FROM t WHERE id = 1')
      await pair.mustRun()
      await assertEqual(pair)
    })

  test('what is no value of the type is a rejected row, and the advice that it gives works', async () => {
    await using pair = await sqliteToSqlite('none')
    await pair.left.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, v BOOLEAN); INSERT INTO t VALUES (1, 1), (2, 'maybe')")
    assert.equal((await pair.run()).rejected, 1)
    assert.equal((await pair.run({ fields: read('v', 'boolean') })).rejected, 1)
    await pair.mustRun({ fields: read('v', 'text') })
    assert.deepEqual((await pair.right.sql('SELECT v FROM t ORDER BY id')).flat(), ['1', 'maybe'])
  })

  test('names that other systems give to texts are texts: STRING, ENUM, INET', async () => {
    await using pair = await sqliteToSqlite('none')
    await pair.left.sql(
      `CREATE TABLE t (id INTEGER PRIMARY KEY, a STRING, b ENUM, c INET);
       INSERT INTO t VALUES (1, 'ann', 'x', '10.0.0.1'), (2, '007', 'y', null), (3, 1.5, 2, '::1')`,
    )
    await pair.mustRun()
    assert.deepEqual(await pair.right.sql('SELECT a, b, c FROM t ORDER BY id'), [
      ['ann', 'x', '10.0.0.1'],
      ['7', 'y', null],
      ['1.5', '2', '::1'],
    ])
    await assertEqual(pair)
  })

  test('a key that the config reads as text is in the order of texts', async () => {
    const fields = new Map([
      ['id', { kind: 'from', from: 'id', type: 'text' }],
      ['v', { kind: 'from', from: 'v' }],
    ] as const)
    await using pair = await sqliteToSqlite('triggers', { fields, key: ['id'] })
    await pair.left.sql(
      "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (9, 'a'), (10, 'b'), (100, 'c')",
    )
    await pair.mustRun()
    await pair.left.sql("DELETE FROM t WHERE id = 10; UPDATE t SET v = 'A' WHERE id = 9")
    await pair.mustRun()
    assert.deepEqual(await pair.right.sql('SELECT id, v FROM t ORDER BY id'), [
      ['100', 'c'],
      ['9', 'A'],
    ])
    await assertEqual(pair)
  })
})
