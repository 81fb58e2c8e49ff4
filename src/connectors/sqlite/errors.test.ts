import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { type Pair, sqliteDatabase, sqliteToSqlite } from '../../../test/hazards/pair.ts'
import { openTwoWay } from '../../../test/two-way/pair.ts'
import { temporaryFolder } from '../../../tools/database.ts'
import { asSyncError, SyncError } from '../../core/error.ts'
import { planSync } from '../../engine/one-way/plan.ts'
import { openDatabase } from './database.ts'
import { attempt, codes, translate } from './errors.ts'

describe('point 43: errors of SQLite', () => {
  test('every result code becomes an error that says what, on which file and what to do', () => {
    // All primary codes; 0, 100 and 101 are no errors. One that is new to us is told as a refusal.
    for (let code = 1; code <= 29; code++) {
      const told = translate(Object.assign(new Error('so it is'), { errcode: code | 256 }), './shop.db')
      assert.ok(told instanceof SyncError)
      assert.match(told.message, /\.\/shop\.db: so it is \(SQLite \d+\)$/)
      assert.ok((told.hint ?? '').length > 10)
      // SQLite is used wrongly by nobody but us.
      assert.equal(told.code === 'INTERNAL', [21, 25].includes(code), String(code))
      assert.equal(code in codes, code < 29)
    }
  })

  test('what is no regular file is refused as that, and a read that fails is no full disk', async () => {
    await using folder = await temporaryFolder()
    const pipe = join(folder.path, 'pipe.db')
    execFileSync('mkfifo', [pipe])
    for (const file of [pipe, folder.path])
      for (const readOnly of [true, false])
        assert.throws(() => openDatabase({ file, track: 'none', busyTimeoutMs: 0 }, { readOnly, create: true }), {
          code: 'FILE_UNUSABLE',
          message: /is no regular file/,
        })
    const told = (errcode: number) => translate(Object.assign(new Error('disk I/O error'), { errcode }), './shop.db')
    for (const errcode of [266, 522, 3850, 3338, 10]) {
      const error = told(errcode)
      assert.ok(error instanceof SyncError)
      assert.deepEqual([errcode, error.code], [errcode, 'FILE_UNUSABLE'])
      assert.match(error.message, /^can't use/)
    }
    for (const errcode of [778, 1034, 1546, 13]) {
      const error = told(errcode)
      assert.ok(error instanceof SyncError && error.code === 'DISK_FULL', String(errcode))
    }
  })

  test('a file that can’t be read without writing beside it says so, and the ways out', () => {
    // Of WAL mode without its -shm; of a journal that is left over; as they were met in a folder that the user may not write.
    for (const errcode of [1544, 776]) {
      const error = Object.assign(new Error('attempt to write a readonly database'), { errcode })
      const told = translate(error, './shop.db')
      assert.ok(told instanceof SyncError && told.code === 'FILE_UNUSABLE')
      assert.match(told.message, /^can't read the SQLite file without writing beside it/)
      assert.match(told.hint ?? '', /WAL mode.*folder writable.*journal_mode = DELETE.*copy/)
    }
  })

  test('those of a broken trigger or view are no bugs of ours', () => {
    using database = new DatabaseSync(':memory:')
    database.exec(`CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE VIEW broken AS SELECT no_such_function(id) FROM t`)
    for (const sql of ['SELECT * FROM broken', 'SELECT abs(-9223372036854775808)', 'SELECT json(1, 2)'])
      assert.throws(() => attempt('f.db', () => database.prepare(sql).all()), { code: 'DATABASE_REFUSED' })
  })

  test('a row that a trigger refuses is rejected, and the others go in', async () => {
    await using pair = await sqliteToSqlite('none', { adopt: true })
    await pair.left.sql(
      `CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')`,
    )
    await pair.right.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT);
      CREATE TRIGGER refuse BEFORE INSERT ON t WHEN NEW.note = 'b' BEGIN SELECT RAISE(ABORT, 'no b here'); END`)
    const { error, rejected } = await pair.run()
    assert.deepEqual([error?.code, rejected], ['ROWS_REJECTED', 1])
    assert.deepEqual((await pair.right.sql('SELECT id FROM t ORDER BY id')).flat(), ['1', '3'])
  })

  for (const track of ['none', 'triggers'] as const)
    for (const side of ['left', 'right'] as const)
      test(`a file with a damaged page is told as that, whatever reads it (${side}, track: ${track})`, async () => {
        await using pair = await sqliteToSqlite(track)
        await pair.left.sql(rows('t (id TEXT PRIMARY KEY, note TEXT)'))
        await pair.mustRun()
        const tell = async (work: Promise<unknown>) => (await work.then(() => null, codeOf)) ?? null
        const codes = await withDamage(pair[side], reconnecting(pair), async () => [
          (await pair.run()).error?.code ?? null,
          await tell(pair.verify()),
          await tell(planSync(pair.sync, pair.project())),
        ])
        assert.ok(codes.some((code) => code === 'FILE_UNUSABLE'))
        assert.deepEqual(
          codes.filter((code) => code === 'INTERNAL'),
          [],
        )
      })

  test('so it is by a two-way sync', async () => {
    await using pair = openTwoWay(await sqliteDatabase(), await sqliteDatabase())
    const contacts = rows('contacts (id TEXT PRIMARY KEY, note TEXT)')
    for (const side of [pair.left, pair.right]) await side.sql(contacts)
    await pair.run()
    const codes = await withDamage(pair.left, pair.reconnect, async () => [
      (await pair.run()).error?.code ?? null,
      await pair.verify().then(() => null, codeOf),
    ])
    assert.ok(codes.some((code) => code === 'FILE_UNUSABLE'))
    assert.deepEqual(
      codes.filter((code) => code === 'INTERNAL'),
      [],
    )
  })
})

/** SQL for a table with some rows. */
function rows(table: string): string {
  const name = table.split(' ')[0]
  return `CREATE TABLE ${table}; CREATE INDEX ${name}_note ON ${name} (note);
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO ${name} SELECT 'k' || i, 'note ' || i FROM n`
}

function codeOf(error: unknown): string {
  return asSyncError(error).code
}

function reconnecting(pair: Pair): () => Promise<void> {
  return async () => {
    for (const side of ['left', 'right']) await pair.project().reconnect(side)
  }
}

const PAGE = 4096

/** Overwrites one page after another; the file is whole again afterwards. */
async function withDamage<Told>(
  database: Pair['left'],
  reconnect: () => Promise<void>,
  tell: () => Promise<readonly Told[]>,
): Promise<Told[]> {
  await reconnect()
  await database.sql('PRAGMA wal_checkpoint(TRUNCATE)')
  const file = String((await database.sql('SELECT file FROM pragma_database_list'))[0]?.[0])
  const whole = readFileSync(file)
  const told: Told[] = []
  const restore = () => {
    for (const end of ['-wal', '-shm', '-journal']) rmSync(`${file}${end}`, { force: true })
    writeFileSync(file, whole)
  }
  for (let page = PAGE; page < whole.length; page += PAGE) {
    const damaged = Buffer.from(whole)
    damaged.fill(0xa5, page, page + PAGE)
    restore()
    writeFileSync(file, damaged)
    told.push(...(await tell()))
    await reconnect()
  }
  restore()
  return told
}
