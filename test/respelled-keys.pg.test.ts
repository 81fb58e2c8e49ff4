/** Keys of a SQLite file that are spelled in another way than their values: each row is found, written and compared as the one that it is. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { plainField } from '../src/core/pairing.ts'
import { planSync } from '../src/engine/one-way/plan.ts'
import { verifySync } from '../src/engine/one-way/verify.ts'
import { type Database, openPair, type Pair, postgresDatabase, sqliteDatabase } from './hazards/pair.ts'
import { openTwoWay } from './two-way/pair.ts'

interface Shape {
  /** How the key is declared in the file. */
  readonly declared: string
  readonly strict?: true
  /** Keys as SQL: of four rows, and of one that comes later. */
  readonly keys: readonly [string, string, string, string]
  readonly later: string
  /** The type of the key in Postgres. */
  readonly there: string
}

const guid = (digit: string) => `${digit.repeat(8)}-0000-4000-8000-0000000000${digit.repeat(2)}`
const quoted = (text: string) => `'${text}'`
const upper = ['a', 'b', 'c', 'd'].map((digit) => quoted(guid(digit).toUpperCase())) as [string, string, string, string]

const shapes: Readonly<Record<string, Shape>> = {
  'integers without a type': { declared: '', keys: ['1', '2', '10', '9007199254740993'], later: '30', there: 'text' },
  'integers and texts without a type': { declared: '', keys: ['1', "'2'", "'x'", "'010'"], later: '10', there: 'text' },
  'a column of any class': {
    declared: 'ANY',
    strict: true,
    keys: ['1', "'2'", "'x'", '10'],
    later: '30',
    there: 'text',
  },
  'numbers in a column called STRING': {
    declared: 'STRING',
    keys: ['1', "'007'", "'x'", '1.5'],
    later: '9e999',
    there: 'text',
  },
  'upper-case UUIDs': { declared: 'UUID', keys: upper, later: quoted(guid('e').toUpperCase()), there: 'uuid' },
  'UUIDs in several spellings': {
    declared: 'GUID',
    keys: [
      quoted(guid('a')),
      quoted(guid('b').replaceAll('-', '').toUpperCase()),
      quoted(`{${guid('c')}}`),
      quoted(`D${guid('d').slice(1)}`),
    ],
    later: quoted(guid('e').toUpperCase()),
    there: 'uuid',
  },
  decimals: { declared: 'DECIMAL(10,2)', keys: ['1', '1.5', '1e20', '-0.25'], later: "'2.50'", there: 'numeric' },
  floats: { declared: 'REAL', keys: ['1', '1.5', '1e300', '-0.25'], later: '2', there: 'double precision' },
  bytes: { declared: 'BLOB', keys: ["x'01'", "x'31'", "x''", "x'ff'"], later: "x'02'", there: 'bytea' },
  times: {
    declared: 'DATETIME',
    keys: ["'2024-01-01 00:00:00'", "'2024-01-01'", "'x'", "'y'"],
    later: "'z'",
    there: 'text',
  },
}

const tableSql = ({ declared, strict }: Shape, name: string) =>
  `CREATE TABLE ${name} (id ${declared} PRIMARY KEY, email TEXT, v TEXT)${strict === true ? ' STRICT' : ''}`

const fill = ({ keys }: Shape, name: string, v = 'old') =>
  `INSERT INTO ${name} (id, email, v) VALUES ${keys.map((key, at) => `(${key}, 'e${at + 1}', '${v}')`).join(', ')}`

/** Changes the first row, deletes the second, adds one. */
const change = ({ later }: Shape, name: string) =>
  `UPDATE ${name} SET v = 'new' WHERE email = 'e1'; DELETE FROM ${name} WHERE email = 'e2'; INSERT INTO ${name} (id, email, v) VALUES (${later}, 'e5', 'later')`

const byEmail = (sql: Database['sql'], name: string) => sql(`SELECT email, v FROM ${name} ORDER BY email`)

const changed = [
  ['e1', 'new'],
  ['e3', 'old'],
  ['e4', 'old'],
  ['e5', 'later'],
]

async function counts(pair: Pair): Promise<readonly number[]> {
  const { inserted, updated, deleted, rejected } = await pair.mustRun()
  return [inserted, updated, deleted, rejected]
}

async function assertProved(pair: Pair): Promise<void> {
  const target = pair.right.sql
  await target("DELETE FROM t WHERE email = 'e3'; UPDATE t SET v = 'spoilt' WHERE email = 'e4'")
  const found = await pair.verify()
  assert.deepEqual([found.missing, found.extra, found.different, found.unreadable], [1, 0, 1, 0])
  const mended = await verifySync(pair.sync, pair.project(), { repair: true, onProgress: () => {} })
  assert.deepEqual([mended.equal, mended.repaired, mended.left], [true, 2, 4])
  assert.deepEqual(await byEmail(target, 't'), changed)
}

for (const [name, shape] of Object.entries(shapes))
  describe(name, () => {
    for (const track of ['none', 'triggers'] as const)
      for (const to of ['SQLite', 'Postgres'])
        test(`one way into ${to}, ${track === 'none' ? 'compared' : 'followed by triggers'}`, async () => {
          const target = to === 'SQLite' ? await sqliteDatabase() : await postgresDatabase()
          await using pair = await openPair(await sqliteDatabase(track), target)
          await pair.left.sql(`${tableSql(shape, 't')}; ${fill(shape, 't')}`)
          assert.deepEqual(await counts(pair), [4, 0, 0, 0])
          assert.deepEqual(await counts(pair), [0, 0, 0, 0])
          await pair.left.sql(change(shape, 't'))
          const { inserts, updates, deletes } = await planSync(pair.sync, pair.project())
          assert.deepEqual([inserts, updates, deletes], [1, 1, 1])
          assert.deepEqual(await counts(pair), [1, 1, 1, 0])
          assert.deepEqual(await byEmail(pair.right.sql, 't'), changed)
          assert.deepEqual(await counts(pair), [0, 0, 0, 0])
          await assertProved(pair)
        })

    test('one way from a view', async () => {
      await using pair = await openPair(await sqliteDatabase(), await sqliteDatabase(), { key: ['id'] })
      await pair.left.sql(`${tableSql(shape, 'base')}; ${fill(shape, 'base')}`)
      // A column without a type is one of bytes to a view; an expression of it has no type there either.
      const loose = ['', 'ANY'].includes(shape.declared)
      const key = loose ? 'coalesce(id, 0)' : 'id'
      await pair.left.sql(`CREATE VIEW t AS SELECT ${key} AS id, email, v FROM base`)
      assert.deepEqual(await counts(pair), [4, 0, 0, 0])
      await pair.left.sql(change(shape, 'base'))
      assert.deepEqual(await counts(pair), [1, 1, 1, 0])
      assert.deepEqual(await byEmail(pair.right.sql, 't'), changed)
      assert.deepEqual(await counts(pair), [0, 0, 0, 0])
      await assertProved(pair)
    })

    test('adopted', async () => {
      await using pair = await openPair(await postgresDatabase(), await sqliteDatabase(), { adopt: true })
      await pair.right.sql(`${tableSql(shape, 't')}; ${fill(shape, 't')}`)
      // The source has the values of these keys, as a copy of them says.
      await using copy = await openPair(await sqliteDatabase(), await postgresDatabase())
      await copy.left.sql(`${tableSql(shape, 't')}; ${fill(shape, 't', 'given')}`)
      await copy.mustRun()
      await pair.left.sql(`CREATE TABLE t (id ${shape.there} PRIMARY KEY, email text, v text)`)
      for (const row of await copy.right.sql('SELECT id, email, v FROM t'))
        await pair.left.sql(`INSERT INTO t VALUES (${row.map((part) => quoted(String(part))).join(', ')})`)
      const before = await pair.right.sql('SELECT quote(id) FROM t ORDER BY email')
      const { inserts, updates, deletes } = await planSync(pair.sync, pair.project())
      assert.deepEqual([inserts, updates, deletes], [0, 4, 0])
      assert.deepEqual(await counts(pair), [0, 4, 0, 0])
      assert.deepEqual(await pair.right.sql('SELECT quote(id) FROM t ORDER BY email'), before)
      assert.deepEqual(await counts(pair), [0, 0, 0, 0])
      await pair.left.sql("UPDATE t SET v = 'new' WHERE email = 'e1'; DELETE FROM t WHERE email = 'e2'")
      assert.deepEqual(await counts(pair), [0, 1, 1, 0])
      assert.deepEqual(await byEmail(pair.right.sql, 't'), [
        ['e1', 'new'],
        ['e3', 'given'],
        ['e4', 'given'],
      ])
      const { equal, left, right } = await pair.verify()
      assert.deepEqual([equal, left, right], [true, 3, 3])
    })

    for (const track of ['none', 'triggers'] as const)
      test(`two ways, ${track === 'none' ? 'compared' : 'followed by triggers'}`, async () => {
        await using pair = openTwoWay(await sqliteDatabase(track), await postgresDatabase(), {
          match: [{ field: 'email', by: null }],
          fields: ['id', 'email', 'v'].map((field) => plainField(field)),
        })
        await pair.left.sql(`${tableSql(shape, 'contacts')}; ${fill(shape, 'contacts')}`)
        await pair.right.sql(`CREATE TABLE contacts (id ${shape.there} PRIMARY KEY, email text, v text)`)
        assert.equal(await pair.writes(), 4)
        assert.equal(await pair.writes(), 0)
        await pair.left.sql(change(shape, 'contacts'))
        assert.equal(await pair.writes(), 3)
        assert.deepEqual(await byEmail(pair.right.sql, 'contacts'), changed)
        const spelled = await pair.left.sql("SELECT quote(id) FROM contacts WHERE email = 'e3'")
        await pair.right.sql(
          "UPDATE contacts SET v = 'back' WHERE email = 'e3'; DELETE FROM contacts WHERE email = 'e4'",
        )
        assert.equal(await pair.writes(), 2)
        assert.equal(await pair.writes(), 0)
        assert.deepEqual(await pair.left.sql("SELECT quote(id), v FROM contacts WHERE email = 'e3'"), [
          [...(spelled[0] ?? []), 'back'],
        ])
        const { equal, left, right } = await pair.verify()
        assert.deepEqual([equal, left, right], [true, 3, 3])
      })
  })

/** Two keys that are one value, and one that is another. */
const twins: Readonly<Record<string, { readonly shape: Shape; readonly keys: readonly [string, string, string] }>> = {
  'an integer and a text without a type': {
    shape: shapes['integers without a type'] as Shape,
    keys: ['1', "'1'", "'k'"],
  },
  'a UUID in both cases': {
    shape: shapes['upper-case UUIDs'] as Shape,
    keys: [quoted(guid('a')), quoted(guid('a').toUpperCase()), quoted(guid('b'))],
  },
}

for (const [name, { shape, keys }] of Object.entries(twins))
  describe(`two keys that are one value: ${name}`, () => {
    const [first, second, other] = keys
    const insert = (table: string, key: string, email: string) =>
      `INSERT INTO ${table} (id, email, v) VALUES (${key}, '${email}', 'old')`

    for (const track of ['none', 'triggers'] as const)
      for (const to of ['SQLite', 'Postgres'])
        test(`one way into ${to}, ${track === 'none' ? 'compared' : 'followed by triggers'}`, async () => {
          const target = to === 'SQLite' ? await sqliteDatabase() : await postgresDatabase()
          await using pair = await openPair(await sqliteDatabase(track), target)
          await pair.left.sql(`${tableSql(shape, 't')}; ${insert('t', first, 'e1')}; ${insert('t', second, 'e2')}`)
          await pair.left.sql(insert('t', other, 'e3'))
          const runs = async (expected: readonly number[]) => {
            const { inserted, updated, deleted, rejected } = await pair.run()
            assert.deepEqual([inserted, updated, deleted, rejected], expected)
          }
          await runs([1, 0, 0, 1])
          await runs([0, 0, 0, 1])
          const plan = await planSync(pair.sync, pair.project())
          assert.deepEqual([plan.inserts, plan.updates, plan.deletes, plan.rejected], [0, 0, 0, 1])
          const found = await pair.verify()
          assert.deepEqual([found.equal, found.left, found.right, found.unreadable], [false, 3, 1, 2])
          await pair.left.sql("DELETE FROM t WHERE email = 'e2'")
          await runs([1, 0, 0, 0])
          assert.equal((await pair.verify()).equal, true)
          // The row stays as it is there.
          await pair.left.sql(`${insert('t', second, 'e2')}; UPDATE t SET v = 'new' WHERE email IN ('e1', 'e3')`)
          await runs([0, 1, 0, 1])
          await runs([0, 0, 0, 1])
          assert.deepEqual(await byEmail(pair.right.sql, 't'), [
            ['e1', 'old'],
            ['e3', 'new'],
          ])
          assert.equal((await pair.verify()).equal, false)
        })

    for (const track of ['none', 'triggers'] as const)
      test(`two ways, ${track === 'none' ? 'compared' : 'followed by triggers'}`, async () => {
        await using pair = openTwoWay(await sqliteDatabase(track), await postgresDatabase(), {
          match: [{ field: 'email', by: null }],
          fields: ['id', 'email', 'v'].map((field) => plainField(field)),
        })
        await pair.right.sql(`CREATE TABLE contacts (id ${shape.there} PRIMARY KEY, email text, v text)`)
        await pair.left.sql(`${tableSql(shape, 'contacts')}; ${insert('contacts', first, 'e1')}`)
        await pair.left.sql(`${insert('contacts', second, 'e2')}; ${insert('contacts', other, 'e3')}`)
        const runs = async (expected: readonly number[]) => {
          const { inserted, updated, deleted, rejected } = await pair.run()
          assert.deepEqual([inserted, updated, deleted, rejected], expected)
        }
        await runs([1, 0, 0, 1])
        await runs([0, 0, 0, 1])
        const found = await pair.verify()
        assert.deepEqual([found.equal, found.unreadable], [false, 2])
        await using memory = await pair.store.pairs.read(pair.sync.id)
        const { unpaired } = await memory.waiting()
        assert.deepEqual(
          unpaired.map(({ state, code }) => [state, code]),
          [['rejected', 'KEY_DUPLICATE']],
        )
        await pair.left.sql("DELETE FROM contacts WHERE email = 'e2'")
        await runs([1, 0, 0, 0])
        assert.equal((await pair.verify()).equal, true)
        await pair.left.sql(`${insert('contacts', second, 'e2')}; UPDATE contacts SET v = 'new' WHERE email = 'e1'`)
        await runs([0, 0, 0, 1])
        await runs([0, 0, 0, 1])
        assert.equal((await pair.verify()).equal, false)
        assert.deepEqual(await byEmail(pair.right.sql, 'contacts'), [
          ['e1', 'old'],
          ['e3', 'old'],
        ])
      })

    test('a row of the other side that would become the second', async () => {
      await using pair = openTwoWay(await sqliteDatabase(), await postgresDatabase(), {
        match: [{ field: 'email', by: null }],
        fields: ['id', 'email', 'v'].map((field) => plainField(field)),
      })
      await pair.right.sql(`CREATE TABLE contacts (id ${shape.there} PRIMARY KEY, email text, v text)`)
      await pair.left.sql(`${tableSql(shape, 'contacts')}; ${insert('contacts', first, 'e1')}`)
      const [[value = null] = []] = await pair.left.sql('SELECT lower(id) FROM contacts')
      await pair.right.sql(insert('contacts', quoted(String(value)), 'e2'))
      await pair.run()
      const { inserted, rejected } = await pair.run()
      assert.deepEqual([inserted, rejected], [0, 2])
      assert.deepEqual(await byEmail(pair.left.sql, 'contacts'), [['e1', 'old']])
    })

    test('a table that has both is not adopted', async () => {
      await using pair = await openPair(await postgresDatabase(), await sqliteDatabase(), { adopt: true })
      await pair.left.sql(`CREATE TABLE t (id ${shape.there} PRIMARY KEY, email text, v text)`)
      await pair.right.sql(`${tableSql(shape, 't')}; ${insert('t', first, 'e1')}; ${insert('t', second, 'e2')}`)
      assert.equal((await pair.run()).error?.code, 'KEY_DUPLICATE')
    })

    test('an adopted table that gets the second later', async () => {
      await using pair = await openPair(await postgresDatabase(), await sqliteDatabase(), { adopt: true })
      await pair.left.sql(`CREATE TABLE t (id ${shape.there} PRIMARY KEY, email text, v text)`)
      await pair.right.sql(`${tableSql(shape, 't')}; ${insert('t', first, 'e1')}`)
      const [[value = null] = []] = await pair.right.sql('SELECT lower(id) FROM t')
      await pair.left.sql(insert('t', quoted(String(value)), 'e1'))
      await pair.mustRun()
      await pair.right.sql(insert('t', second, 'mine'))
      await pair.left.sql("UPDATE t SET v = 'new'")
      assert.equal((await pair.run()).rejected, 1)
      assert.equal((await pair.run()).rejected, 1)
      assert.equal((await pair.verify()).equal, false)
      await pair.left.sql('DELETE FROM t')
      await pair.run()
      assert.deepEqual(await byEmail(pair.right.sql, 't'), [
        ['e1', 'old'],
        ['mine', 'old'],
      ])
    })
  })

test('a UUID in upper case and in mixed case, whose twin no usual spelling finds, is told of and keeps its row', async () => {
  await using pair = await openPair(await sqliteDatabase('triggers'), await sqliteDatabase())
  const [a, b] = [quoted(guid('a').toUpperCase()), quoted(`A${guid('a').slice(1)}`)]
  await pair.left.sql(`CREATE TABLE t (id UUID PRIMARY KEY, v TEXT); INSERT INTO t VALUES (${a}, 'one')`)
  await pair.mustRun()
  await pair.left.sql(`INSERT INTO t VALUES (${b}, 'two')`)
  for (let again = 0; again < 2; again++) {
    const { inserted, deleted, rejected } = await pair.run()
    assert.deepEqual([inserted, deleted, rejected], [0, 0, 1])
    assert.equal((await pair.verify()).equal, false)
  }
  const mended = await verifySync(pair.sync, pair.project(), { repair: true, onProgress: () => {} })
  assert.deepEqual([mended.repaired, mended.unreadable], [0, 2])
  assert.deepEqual(await pair.right.sql('SELECT v FROM t'), [['one']])
})

for (const track of ['none', 'triggers'] as const)
  test(`${track === 'none' ? 'compared' : 'followed by triggers'}: of rows that share a key none is written, also where only one of them has a usual spelling`, async () => {
    await using pair = await openPair(await sqliteDatabase(track), await sqliteDatabase())
    const [a, mixed] = [quoted(guid('a').toUpperCase()), quoted(`A${guid('a').slice(1)}`)]
    await pair.left.sql(`CREATE TABLE t (id UUID PRIMARY KEY, v TEXT); INSERT INTO t VALUES (${a}, 'one')`)
    await pair.mustRun()
    await pair.left.sql(`UPDATE t SET v = 'another'; INSERT INTO t VALUES (${mixed}, 'two')`)
    for (let again = 0; again < 2; again++) {
      const { inserted, updated, deleted, rejected } = await pair.run()
      assert.deepEqual([inserted, updated, deleted, rejected], [0, 0, 0, 1])
    }
    assert.deepEqual(await pair.right.sql('SELECT v FROM t'), [['one']])
    await pair.left.sql(`DELETE FROM t WHERE id = ${mixed}`)
    assert.equal((await pair.mustRun()).updated, 1)
  })

test('a repair writes no row of which two have the key, whichever of them a look-up finds, and mends the others', async () => {
  await using pair = await openPair(await sqliteDatabase(), await sqliteDatabase())
  const [a, mixed] = [quoted(guid('a').toUpperCase()), quoted(`A${guid('a').slice(1)}`)]
  await pair.left.sql(
    `CREATE TABLE t (id UUID PRIMARY KEY, v TEXT); INSERT INTO t VALUES (${a}, 'one'), (${upper[1]}, 'other')`,
  )
  await pair.mustRun()
  await pair.left.sql(`UPDATE t SET v = 'one2' WHERE v = 'one'; INSERT INTO t VALUES (${mixed}, 'two')`)
  await pair.right.sql("UPDATE t SET v = 'spoilt' WHERE v = 'other'")
  const { repaired, different, unreadable } = await verifySync(pair.sync, pair.project(), {
    repair: true,
    onProgress: () => {},
  })
  assert.deepEqual([repaired, different, unreadable], [1, 0, 2])
  assert.deepEqual(await pair.right.sql('SELECT v FROM t ORDER BY v'), [['one'], ['other']])
})

for (const track of ['none', 'triggers'] as const)
  test(`two ways, ${track === 'none' ? 'compared' : 'followed by triggers'}: a UUID in upper case and in mixed case`, async () => {
    await using pair = openTwoWay(await sqliteDatabase(track), await sqliteDatabase(), {
      match: [{ field: 'email', by: null }],
      fields: ['id', 'email', 'v'].map((field) => plainField(field)),
    })
    const [a, b] = [quoted(guid('a').toUpperCase()), quoted(`A${guid('a').slice(1)}`)]
    for (const side of ['left', 'right'] as const)
      await pair[side].sql('CREATE TABLE contacts (id UUID PRIMARY KEY, email TEXT, v TEXT)')
    await pair.left.sql(`INSERT INTO contacts VALUES (${a}, 'e1', 'one')`)
    assert.equal(await pair.writes(), 1)
    await pair.left.sql(`INSERT INTO contacts VALUES (${b}, 'e2', 'two')`)
    for (let again = 0; again < 2; again++) {
      const { inserted, updated, deleted, rejected } = await pair.run()
      assert.deepEqual([inserted, updated, deleted, rejected], [0, 0, 0, 1])
      assert.equal((await pair.verify()).equal, false)
    }
    await pair.left.sql("DELETE FROM contacts WHERE email = 'e2'")
    assert.equal(await pair.writes(), 0)
    assert.equal((await pair.verify()).equal, true)
  })

test('two ways, a row is written whose other columns without a type hold numbers', async () => {
  await using pair = openTwoWay(await sqliteDatabase(), await postgresDatabase(), {
    match: [{ field: 'id', by: null }],
    fields: ['id', 'v', 'n', 'j'].map((field) => plainField(field)),
  })
  await pair.left.sql(
    "CREATE TABLE contacts (id INTEGER PRIMARY KEY, v TEXT, n, j JSON); INSERT INTO contacts VALUES (1, 'old', 5, '1')",
  )
  await pair.right.sql('CREATE TABLE contacts (id integer PRIMARY KEY, v text, n text, j json)')
  assert.equal(await pair.writes(), 1)
  await pair.right.sql("UPDATE contacts SET v = 'new'")
  assert.equal(await pair.writes(), 1)
  assert.deepEqual(await pair.left.sql('SELECT id, v, quote(n), quote(j) FROM contacts'), [['1', 'new', '5', '1']])
  await pair.right.sql("UPDATE contacts SET v = 'newer', n = '6'")
  assert.equal(await pair.writes(), 1)
  assert.equal(await pair.writes(), 0)
  assert.equal((await pair.verify()).equal, true)
})

test('two parts of a key, of which one is spelled in its own way', async () => {
  await using pair = await openPair(await sqliteDatabase('triggers'), await sqliteDatabase())
  await pair.left.sql(
    `CREATE TABLE t (a, b TEXT, c UUID, v TEXT, PRIMARY KEY (a, b, c)); INSERT INTO t VALUES (1, 'x', ${upper[0]}, 'one'), ('2', '10', ${upper[1]}, 'two'), (10, '1', ${upper[2]}, 'three')`,
  )
  assert.deepEqual(await counts(pair), [3, 0, 0, 0])
  await pair.left.sql("UPDATE t SET v = 'new' WHERE a = 10; DELETE FROM t WHERE a = 1")
  assert.deepEqual(await counts(pair), [0, 1, 1, 0])
  await pair.right.sql("DELETE FROM t WHERE b = '10'; UPDATE t SET v = 'spoilt' WHERE b = '1'")
  const found = await pair.verify()
  assert.deepEqual([found.missing, found.different, found.extra, found.unreadable], [1, 1, 0, 0])
})
