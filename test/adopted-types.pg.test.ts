/** Tables that others made, with types that the source does not have: the table's own input functions decide what goes in. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { planSync } from '../src/engine/one-way/plan.ts'
import { assertEqual, type Database, openPair, postgresDatabase, sqliteDatabase } from './hazards/pair.ts'

/** Types, a value that is spelled as Postgres spells it, one that is not, and one that the type refuses. */
const columns: readonly (readonly [type: string, own: string, other: string, wrong: string | null])[] = [
  ['role', 'admin', 'user', 'nobody'],
  ['email', 'a@b', 'c@d', 'no address'],
  ['inet', '10.0.0.1', '10.0.0.1/32', 'here'],
  ['cidr', '10.0.0.0/8', '10/8', '10.0.0.1/8'],
  ['interval', '1 day', '24 hours 1 minute', 'soon'],
  ['integer[]', '{1,2}', '{1, 2}', '{a}'],
  ['text[]', '{a,b}', '{ "a", b }', '{a'],
  ['int4range', '[1,5)', '[1,4]', '[5,1)'],
  ['xml', '<a/>', '<a />', '<a'],
  ['timetz', '10:00:00+00', '10:00Z', '25:00'],
  ['bit(3)', '101', '111', '1'],
  ['point', '(1,2)', '1, 2', '(1)'],
  ['tsvector', "'a' 'b'", 'b a', null],
  ['money', '$1.00', '1', 'much'],
  ['varchar(3)', 'abc', 'ab', 'abcd'],
  ['char(3)', 'abc', 'ab ', 'abcd'],
  ['citext', 'x', 'X', null],
  ['name', 'x', 'y', null],
  ['macaddr', '08:00:2b:01:02:03', '08002b010203', '08'],
]
const names = columns.map((_column, at) => `c${at}`)
const quoted = (value: string | null) => (value === null ? 'NULL' : `'${value.replaceAll("'", "''")}'`)

/** Rows 1 to 3 fit; from 11 on each row has one value that its column refuses. */
function rows(): string {
  const own = columns.map(([, value]) => value)
  const refused = columns.flatMap(([, , , wrong], at) =>
    wrong === null ? [] : [[String(11 + at), ...own.map((value, column) => (column === at ? wrong : value))]],
  )
  const all = [
    ['1', ...own],
    ['2', ...columns.map(([, , other]) => other)],
    ['3', ...columns.map(() => null)],
    ...refused,
  ]
  return `INSERT INTO t VALUES ${all.map((row) => `(${row.map(quoted).join(', ')})`).join(', ')}`
}
const refusals = columns.filter(([, , , wrong]) => wrong !== null).length

describe('point 36: an adopted Postgres table of other types, fed from text', () => {
  for (const [system, make] of [
    ['SQLite', () => sqliteDatabase()],
    ['Postgres', () => postgresDatabase()],
  ] as const)
    test(`from ${system}: what its types take goes in, each value that they refuse is a rejected row, and plan says so before`, async () => {
      const left: Database = await make()
      await using pair = await openPair(left, await postgresDatabase(), { adopt: true, id: `t_${system}` })
      await pair.left.sql(
        `CREATE TABLE t (id ${system === 'SQLite' ? 'INTEGER' : 'bigint'} PRIMARY KEY, ${names.map((name) => `${name} text`)})`,
      )
      await pair.left.sql(rows())
      await pair.right.sql(`CREATE EXTENSION citext; CREATE TYPE role AS ENUM ('admin', 'user'); CREATE DOMAIN email AS text CHECK (value ~ '@');
        CREATE TABLE t (id bigint PRIMARY KEY, ${names.map((name, at) => `${name} ${columns[at]?.[0]}`)})`)
      const before = await planSync(pair.sync, pair.project())
      assert.deepEqual([before.inserts, before.rejected], [3, refusals])
      const { inserted, rejected, error } = await pair.run()
      assert.deepEqual([inserted, rejected, error?.code], [3, refusals, 'ROWS_REJECTED'])
      assert.deepEqual(await pair.right.sql('SELECT c0, c2, c5, c12 FROM t ORDER BY id'), [
        ['admin', '10.0.0.1', '{1,2}', "'a' 'b'"],
        ['user', '10.0.0.1', '{1,2}', "'a' 'b'"],
        [null, null, null, null],
      ])
      // A later run tries them again, and writes nothing else.
      const again = await pair.run()
      assert.deepEqual([again.inserted, again.updated, again.rejected], [0, 0, refusals])
      await pair.left.sql('DELETE FROM t WHERE id > 10')
      await pair.left.sql(`UPDATE t SET c0 = 'user', c5 = '{3, 4}' WHERE id = 1`)
      await pair.mustRun()
      // Values that the table spells otherwise are no difference.
      await assertEqual(pair)
      const after = await planSync(pair.sync, pair.project())
      assert.deepEqual([after.inserts, after.updates, after.deletes, after.rejected], [0, 0, 0, 0])
    })

  test('an enum as key: labels that it does not have are rejected rows, and deletions of others arrive', async () => {
    await using pair = await openPair(await sqliteDatabase(), await postgresDatabase(), { adopt: true })
    await pair.left.sql(`CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER)`)
    await pair.left.sql(`INSERT INTO t VALUES ('small', 1), ('big', 2), ('huge', 3)`)
    await pair.right.sql(`CREATE TYPE size AS ENUM ('small', 'big'); CREATE TABLE t (id size PRIMARY KEY, n bigint)`)
    for (let run = 0; run < 2; run++) {
      const { rejected, error } = await pair.run()
      assert.deepEqual([rejected, error?.code], [1, 'ROWS_REJECTED'])
      assert.deepEqual(await pair.right.sql('SELECT * FROM t ORDER BY n'), [
        ['small', '1'],
        ['big', '2'],
      ])
    }
    await pair.left.sql(`DELETE FROM t WHERE id <> 'small'`)
    await pair.mustRun()
    assert.deepEqual(await pair.right.sql('SELECT * FROM t'), [['small', '1']])
    await assertEqual(pair)
  })
})
