/** SQLite files that people made: what their schema says may not run by itself, nor decide how our statements end. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { planSync } from '../src/engine/one-way/plan.ts'
import { deadLetters } from '../src/engine/runs/dead-letters.ts'
import { type Database, openPair, sqliteDatabase } from './hazards/pair.ts'
import { openTwoWay } from './two-way/pair.ts'
import { field } from './two-way/world.ts'

async function fileOf({ sql }: Database): Promise<string> {
  const [main] = await sql('PRAGMA database_list')
  return String(main?.[2])
}

/** Puts SQL into the schema that SQLite itself would never write there. */
async function forge(database: Database, name: string, sql: string): Promise<void> {
  const file = new DatabaseSync(await fileOf(database), { defensive: false })
  file.exec('PRAGMA writable_schema = ON')
  file.prepare('UPDATE sqlite_schema SET sql = ? WHERE name = ?').run(sql, name)
  file.close()
}

describe('SQL in the schema of a SQLite file is never run beyond its one statement', () => {
  test('plan refuses a table whose SQL goes on', async () => {
    await using pair = await openPair(await sqliteDatabase(), await sqliteDatabase(), { adopt: true })
    await pair.left.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a')")
    const columns = 'CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)'
    await pair.right.sql(columns)
    const outside = `${await fileOf(pair.right)}-outside`
    await forge(pair.right, 't', `${columns}; ATTACH DATABASE '${outside}' AS p; CREATE TABLE p.made (a)`)
    await assert.rejects(planSync(pair.sync, pair.project()), { code: 'FILE_UNUSABLE', message: /table t/ })
    assert.equal(existsSync(outside), false)
  })

  for (const [what, made] of [
    ['an index', 'CREATE INDEX x ON t (v)'],
    ['a trigger', "CREATE TRIGGER x AFTER DELETE ON t BEGIN SELECT ';'; END"],
  ] as const)
    test(`a table that is made anew refuses the SQL of ${what} that goes on, and takes one that does not`, async () => {
      await using pair = await openPair(await sqliteDatabase('triggers'), await sqliteDatabase())
      await pair.left.sql('CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO t VALUES (1, 1)')
      await pair.mustRun()
      await pair.right.sql(made)
      const outside = `${await fileOf(pair.right)}-outside`
      await forge(pair.right, 'x', `${made}; ATTACH DATABASE '${outside}' AS p`)
      await pair.left.sql(
        'DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, v NUMERIC); INSERT INTO t VALUES (1, 1), (2, 1.5)',
      )
      const refused = await pair.run()
      assert.deepEqual([refused.status, refused.error?.code], ['failed', 'FILE_UNUSABLE'], refused.error?.message)
      assert.equal(existsSync(outside), false)
      await forge(pair.right, 'x', made)
      await pair.mustRun()
      assert.deepEqual(await pair.right.sql("SELECT sql FROM sqlite_schema WHERE name = 'x'"), [[made]])
    })
})

const clauses = ['REPLACE', 'IGNORE', 'ROLLBACK', 'FAIL'] as const

describe('ON CONFLICT in the DDL of a table decides nothing about rows of a sync', () => {
  for (const clause of clauses) {
    const people = `CREATE TABLE contacts (id INTEGER PRIMARY KEY ON CONFLICT ${clause}, email TEXT UNIQUE ON CONFLICT ${clause}, v TEXT NOT NULL ON CONFLICT ${clause} DEFAULT 'own')`

    test(`${clause}, two ways: a taken value or key is refused, and no row is lost`, async () => {
      const [left, right] = [await sqliteDatabase(), await sqliteDatabase()]
      await left.sql(`CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, v TEXT);
        INSERT INTO contacts VALUES (1, 'a', 'v1'), (2, 'b', 'v2')`)
      await right.sql(people)
      await using pair = openTwoWay(left, right, { fields: ['id', 'email', 'v'].map((name) => field(name)) })
      await pair.writes()
      await left.sql(`INSERT INTO contacts VALUES (4, 'a', 'double'), (5, 'e', NULL), (6, 'f', 'v6');
        UPDATE contacts SET email = 'a' WHERE id = 2; UPDATE contacts SET v = 'new' WHERE id = 1`)
      const expected = await left.sql('SELECT * FROM contacts WHERE id IN (1, 6)')
      for (let again = 0; again < 2; again++) {
        const record = await pair.run()
        assert.deepEqual([record.error?.code, record.rejected], ['ROWS_REJECTED', 3], record.error?.message)
        await using reader = await pair.store.pairs.read(pair.sync.id)
        const { pairs, unpaired } = await reader.waiting()
        const codes = [...pairs, ...unpaired].map(({ code }) => code).sort()
        assert.deepEqual(codes, ['VALUE_REFUSED', 'VALUE_TAKEN', 'VALUE_TAKEN'])
        assert.deepEqual(await right.sql('SELECT * FROM contacts WHERE id <> 2'), expected)
        assert.deepEqual(await right.sql('SELECT * FROM contacts WHERE id = 2'), [['2', 'b', 'v2']])
      }
      await left.sql(
        `UPDATE contacts SET email = 'x' || id WHERE id IN (2, 4); UPDATE contacts SET v = 'v5' WHERE id = 5`,
      )
      await pair.writes()
      assert.equal((await pair.verify()).equal, true)
    })

    test(`${clause}, one way: rows of its owner stay, and plan says what a run does`, async () => {
      await using pair = await openPair(await sqliteDatabase('triggers'), await sqliteDatabase(), { adopt: true })
      await pair.left.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, email TEXT, v TEXT);
        INSERT INTO t VALUES (1, 'mine', 'v1'), (2, 'b', NULL), (3, 'c', 'v3')`)
      await pair.right.sql(`${people.replace('contacts', 't')}; INSERT INTO t VALUES (50, 'mine', 'theirs')`)
      const plan = await planSync(pair.sync, pair.project())
      assert.deepEqual([plan.inserts, plan.rejected], [2, 1])
      for (let again = 0; again < 2; again++) {
        assert.equal((await pair.run()).rejected, 2)
        const letters = await deadLetters(pair.sync, pair.project())
        assert.deepEqual(letters.map(({ code }) => code).sort(), ['VALUE_REFUSED', 'VALUE_TAKEN'])
        assert.deepEqual(await pair.right.sql('SELECT * FROM t'), [
          ['3', 'c', 'v3'],
          ['50', 'mine', 'theirs'],
        ])
      }
      await pair.left.sql("UPDATE t SET v = 'v2' WHERE id = 2; UPDATE t SET email = 'free' WHERE id = 1")
      await pair.mustRun()
      assert.equal((await pair.verify()).equal, true)
    })
  }

  test('a trigger keeps the OR of its own statements', async () => {
    await using pair = await openPair(await sqliteDatabase('triggers'), await sqliteDatabase(), { adopt: true })
    await pair.left.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'a')")
    await pair.right.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE seen (v TEXT PRIMARY KEY);
      CREATE TRIGGER x AFTER INSERT ON t BEGIN INSERT OR IGNORE INTO seen VALUES (NEW.v); END`)
    await pair.mustRun()
    assert.deepEqual(await pair.right.sql('SELECT * FROM seen'), [['a']])
  })

  test('every statement that writes to a table of people says how it ends', async () => {
    const folder = join(import.meta.dirname, '../src/connectors/sqlite')
    const ours = /^(INSERT INTO|UPDATE) \$\{quote\((next|rowsTable\(|keptTable\()/
    const bare: string[] = []
    for (const name of (await readdir(folder)).filter((file) => !file.endsWith('.test.ts'))) {
      const source = await readFile(join(folder, name), 'utf8')
      for (const [found] of source.matchAll(/(INSERT INTO|UPDATE) \$\{.{0,30}/g))
        if (!ours.test(found)) bare.push(`${name}: ${found}`)
    }
    assert.deepEqual(bare, [])
  })
})

describe('a row that ends the transaction is the one that is refused', () => {
  const people = 'CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, pos INTEGER UNIQUE)'
  const bad = "WHEN NEW.v LIKE 'bad%' BEGIN SELECT RAISE(ROLLBACK, 'no bad'); END"
  const raises = {
    'RAISE(ROLLBACK)': `CREATE TRIGGER i BEFORE INSERT ON t ${bad}; CREATE TRIGGER u AFTER UPDATE ON t ${bad}`,
    'RAISE(FAIL)': ['INSERT', 'UPDATE']
      .map((event) => `CREATE TRIGGER x${event} AFTER ${event} ON t ${bad.replace('ROLLBACK', 'FAIL')}`)
      .join(';'),
    'ON CONFLICT ROLLBACK behind a trigger': `CREATE TABLE seen (v TEXT UNIQUE ON CONFLICT ROLLBACK); INSERT INTO seen VALUES ('bad');
      ${['INSERT', 'UPDATE'].map((event) => `CREATE TRIGGER x${event} AFTER ${event} ON t WHEN NEW.v LIKE 'bad%' BEGIN INSERT INTO seen VALUES ('bad'); END`).join(';')}`,
  }
  const fill = `INSERT INTO t VALUES (1, 'a', 1), (2, 'bad', 2), (3, 'c', 3), (4, 'bad', 4), (5, 'e', 5)`

  for (const [what, triggers] of Object.entries(raises))
    for (const adopt of [true, false])
      test(`${what}, one way into ${adopt ? 'an adopted table' : 'a table of ours'}`, async () => {
        await using pair = await openPair(await sqliteDatabase('triggers'), await sqliteDatabase(), { adopt })
        await pair.left.sql(people)
        if (adopt) await pair.right.sql(people)
        await pair.mustRun()
        await pair.right.sql(triggers)
        await pair.left.sql(fill)
        const run = await pair.run()
        assert.deepEqual([run.error?.code, run.inserted, run.rejected], ['ROWS_REJECTED', 3, 2], run.error?.message)
        const ids = () => pair.right.sql('SELECT id, v FROM t ORDER BY id')
        const good = [
          ['1', 'a'],
          ['3', 'c'],
          ['5', 'e'],
        ]
        assert.deepEqual(await ids(), good)
        await pair.left.sql(`UPDATE t SET v = 'bad' WHERE id = 1; UPDATE t SET v = 'C' WHERE id = 3;
          DELETE FROM t WHERE id = 5; UPDATE t SET v = 'good' WHERE id = 4`)
        const next = await pair.run({ guard: { maxDeletes: 10, maxDeleteShare: 1 } })
        assert.deepEqual([next.updated, next.inserted, next.deleted, next.rejected], [1, 1, 1, 2])
        assert.deepEqual(await ids(), [
          ['1', 'a'],
          ['3', 'C'],
          ['4', 'good'],
        ])
        const letters = await deadLetters(pair.sync, pair.project())
        assert.deepEqual(
          letters.map(({ key }) => key),
          [{ id: 1 }, { id: 2 }],
        )
        await pair.left.sql("UPDATE t SET v = 'ok' WHERE v = 'bad'")
        await pair.mustRun()
        assert.equal((await pair.verify()).equal, true)
      })

  test('also while rows that swap unique values are put together', async () => {
    await using pair = await openPair(await sqliteDatabase('triggers'), await sqliteDatabase(), { adopt: true })
    await pair.left.sql(people.replace('UNIQUE', ''))
    await pair.left.sql(fill)
    await pair.right.sql(people)
    await pair.mustRun()
    await pair.right.sql(`CREATE TRIGGER u BEFORE UPDATE ON t WHEN NEW.id = 1 AND NEW.pos IS NULL
      BEGIN SELECT RAISE(ROLLBACK, 'has its place'); END`)
    await pair.left.sql("UPDATE t SET pos = 3 - pos WHERE id IN (1, 2); UPDATE t SET v = 'new' WHERE id = 5")
    assert.equal((await pair.run()).rejected, 2)
    assert.deepEqual(await pair.right.sql('SELECT id, pos, v FROM t WHERE id IN (1, 2, 5)'), [
      ['1', '1', 'a'],
      ['2', '2', 'bad'],
      ['5', '5', 'new'],
    ])
    await pair.right.sql('DROP TRIGGER u')
    await pair.mustRun()
    assert.equal((await pair.verify()).equal, true)
  })

  for (const [what, triggers] of Object.entries(raises))
    test(`${what}, two ways`, async () => {
      const [left, right] = [await sqliteDatabase(), await sqliteDatabase()]
      for (const { sql } of [left, right]) await sql(people.replace('t (', 'contacts ('))
      await right.sql(triggers.replaceAll('ON t ', 'ON contacts '))
      await left.sql(fill.replace('t VALUES', 'contacts VALUES'))
      await using pair = openTwoWay(left, right, { fields: ['id', 'v', 'pos'].map((name) => field(name)) })
      for (let again = 0; again < 2; again++) {
        const record = await pair.run()
        assert.deepEqual([record.error?.code, record.rejected], ['ROWS_REJECTED', 2], record.error?.message)
        assert.deepEqual(await right.sql('SELECT id FROM contacts ORDER BY id'), [['1'], ['3'], ['5']])
      }
      await left.sql(
        "UPDATE contacts SET v = 'bad' WHERE id = 1; UPDATE contacts SET v = 'C' WHERE id = 3; UPDATE contacts SET v = 'ok' WHERE id = 4",
      )
      assert.equal((await pair.run()).rejected, 2)
      assert.deepEqual(await right.sql('SELECT id, v FROM contacts ORDER BY id'), [
        ['1', 'a'],
        ['3', 'C'],
        ['4', 'ok'],
        ['5', 'e'],
      ])
      await left.sql("UPDATE contacts SET v = 'ok' WHERE v = 'bad'")
      await pair.writes()
      assert.equal((await pair.verify()).equal, true)
    })
})

test('a virtual table is refused as a target by plan and run, before anything is written', async () => {
  await using pair = await openPair(await sqliteDatabase(), await sqliteDatabase(), { adopt: true })
  await pair.left.sql("CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT); INSERT INTO t VALUES ('1', 'a')")
  await pair.right.sql('CREATE VIRTUAL TABLE t USING fts5 (id UNINDEXED, v)')
  const refusal = { code: 'TARGET_NOT_OURS', message: /virtual table/ }
  await assert.rejects(planSync(pair.sync, pair.project()), refusal)
  assert.equal((await pair.run()).error?.code, refusal.code)
  assert.deepEqual(await pair.right.sql("SELECT name FROM sqlite_schema WHERE name LIKE '%rows%'"), [])
})
