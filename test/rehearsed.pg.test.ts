/** `plan` promises no write that the target refuses: for that, the target tries the rows without keeping them. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SyncError } from '../src/core/error.ts'
import { planSync } from '../src/engine/one-way/plan.ts'
import { openPair, type Pair, postgresDatabase, sqliteDatabase } from './hazards/pair.ts'

const targets = { Postgres: () => postgresDatabase(), SQLite: () => sqliteDatabase() } as const
type Target = keyof typeof targets

/** What plan says is what a run does, and plan leaves nothing behind. */
async function assertForeseen(pair: Pair, expected: readonly [inserts: number, updates: number, rejected: number]) {
  const before = await pair.right.sql('SELECT * FROM t')
  const { inserts, updates, rejected } = await planSync(pair.sync, pair.project())
  assert.deepEqual([inserts, updates, rejected], expected, 'plan')
  assert.deepEqual(await pair.right.sql('SELECT * FROM t'), before)
  const run = await pair.run()
  assert.deepEqual([run.inserted, run.updated, run.rejected], expected, run.error?.message)
}

describe('point 36: plan tries the constraints of an adopted table', () => {
  for (const target of Object.keys(targets) as Target[]) {
    const text = target === 'Postgres' ? 'text' : 'TEXT'
    const adopted = async (columns: string, before = '') => {
      const pair = await openPair(await sqliteDatabase('triggers'), await targets[target](), { adopt: true })
      await pair.left.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INTEGER);
        INSERT INTO t VALUES (1, 'a', 1), (2, NULL, 2), (3, 'c', -3), (4, 'long', 4)`)
      await pair.right.sql(`${before}CREATE TABLE t (id bigint PRIMARY KEY, name ${text}, n bigint${columns})`)
      return pair
    }

    test(`${target}: a CHECK of a column and one of the table`, async () => {
      await using pair = await adopted(', CHECK (n > 0), CHECK (length(name) < 4 OR n < 0)')
      await assertForeseen(pair, [2, 0, 2])
      await pair.left.sql(`UPDATE t SET n = 3 WHERE id = 3; UPDATE t SET n = -1 WHERE id = 1`)
      await assertForeseen(pair, [1, 0, 2])
    })

    test(`${target}: NOT NULL`, async () => {
      await using pair = await openPair(await sqliteDatabase('triggers'), await targets[target](), { adopt: true })
      await pair.left.sql(
        `CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'a'), (2, NULL)`,
      )
      await pair.right.sql(`CREATE TABLE t (id bigint PRIMARY KEY, name ${text} NOT NULL)`)
      await assertForeseen(pair, [1, 0, 1])
      await pair.left.sql('UPDATE t SET name = NULL WHERE id = 1')
      await assertForeseen(pair, [0, 0, 2])
    })

    test(`${target}: a column that is no field of the sync: with a default it is filled, else only rows that are there can be written`, async () => {
      for (const [kind, inserts] of [
        ['NOT NULL DEFAULT 7', 3],
        ['NOT NULL', 0],
      ] as const) {
        await using pair = await openPair(await sqliteDatabase('triggers'), await targets[target](), { adopt: true })
        await pair.left.sql(
          `CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')`,
        )
        await pair.right.sql(
          `CREATE TABLE t (id bigint PRIMARY KEY, name ${text}, own bigint ${kind}, CHECK (own > 0))`,
        )
        await pair.right.sql(`INSERT INTO t VALUES (1, 'old', 5)`)
        await assertForeseen(pair, [inserts, 1, 3 - inserts])
      }
    })

    test(`${target}: a CHECK over a field and a column that is none: by its default in a new row, by its value in one that is there`, async () => {
      await using pair = await openPair(await sqliteDatabase('triggers'), await targets[target](), { adopt: true })
      await pair.left.sql(
        `CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'x'), (3, 'x'), (4, 'y'), (5, 'z')`,
      )
      await pair.right.sql(
        `CREATE TABLE t (id bigint PRIMARY KEY, name ${text}, note ${text} DEFAULT 'n', least bigint DEFAULT 0,
           CHECK (name <> 'x' OR note IS NOT NULL), CHECK (name <> 'y' OR least > 0))`,
      )
      await pair.right.sql(`INSERT INTO t VALUES (1, 'old', 'kept', 0), (2, 'old', NULL, 0)`)
      // 1 has a note, 2 has none; 3 gets one by default; 4 has too little by default.
      await assertForeseen(pair, [2, 1, 2])
    })

    test(`${target}: what its triggers do is not tried, and nothing of them happens`, async () => {
      await using pair = await openPair(await sqliteDatabase(), await targets[target](), { adopt: true })
      await pair.left.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'a')`)
      await pair.right.sql(
        `CREATE TABLE t (id bigint PRIMARY KEY, name ${text}, CHECK (id > 0)); CREATE TABLE heard (id bigint)`,
      )
      await pair.right.sql(
        target === 'Postgres'
          ? `CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO heard VALUES (NEW.id); RETURN NEW; END $$;
             CREATE TRIGGER hear BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION hear()`
          : 'CREATE TRIGGER hear AFTER INSERT ON t BEGIN INSERT INTO heard VALUES (new.id); END',
      )
      const { inserts } = await planSync(pair.sync, pair.project())
      assert.equal(inserts, 1)
      assert.deepEqual(await pair.right.sql('SELECT * FROM heard'), [])
    })
  }

  test('Postgres: the CHECK and NOT NULL of a domain, a table’s own types, sequences and generated columns', async () => {
    await using pair = await openPair(await sqliteDatabase('triggers'), await postgresDatabase(), { adopt: true })
    await pair.left.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, mail TEXT, at TEXT);
      INSERT INTO t VALUES (1, 'a@b', 'x'), (2, 'none', 'x'), (3, NULL, 'x'), (4, 'c@d', 'y')`)
    await pair.right.sql(`CREATE DOMAIN mail AS text NOT NULL CHECK (value ~ '@'); CREATE TYPE kind AS ENUM ('x');
      CREATE TABLE t (id bigint PRIMARY KEY, mail mail, at kind, seq bigserial, twice bigint GENERATED ALWAYS AS (id * 2) STORED,
        own bigint GENERATED ALWAYS AS IDENTITY)`)
    await planSync(pair.sync, pair.project())
    for (const sequence of ['t_seq_seq', 't_own_seq'])
      assert.deepEqual(
        await pair.right.sql(`SELECT last_value, is_called FROM ${sequence}`),
        [['1', 'f']],
        'no number is taken',
      )
    await assertForeseen(pair, [1, 0, 3])
  })

  test('Postgres: what only a write can tell isn’t judged: numbers of sequences, volatile functions, and what is computed from them', async () => {
    await using pair = await openPair(await sqliteDatabase('triggers'), await postgresDatabase(), { adopt: true })
    await pair.left.sql(
      `CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'x'), (3, 'none')`,
    )
    await pair.right.sql(`CREATE DOMAIN code AS text DEFAULT gen_random_uuid()::text NOT NULL;
      CREATE TABLE t (id bigint PRIMARY KEY, name text CHECK (name <> 'none'), seq bigserial CHECK (seq > 0), code code,
        twice bigint GENERATED ALWAYS AS (seq * 2) STORED NOT NULL, at timestamptz NOT NULL DEFAULT now(),
        CHECK (name <> 'x' OR length(code) > 0), CHECK (twice > 0))`)
    await pair.right.sql(`INSERT INTO t VALUES (1, 'old', 7, '')`)
    await assertForeseen(pair, [1, 0, 2])
  })

  for (const other of ['', ', note text'])
    test(`Postgres: a column that the run adds${other === '' ? '' : ', beside one that is no field'}`, async () => {
      await using pair = await openPair(await sqliteDatabase('triggers'), await postgresDatabase(), { adopt: true })
      await pair.left.sql(
        `CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'x'), (2, NULL)`,
      )
      await pair.right.sql(`CREATE TABLE t (id bigint PRIMARY KEY, name text NOT NULL${other})`)
      assert.equal((await pair.run()).inserted, 1)
      await pair.left.sql(`ALTER TABLE t ADD COLUMN since TEXT; UPDATE t SET since = '2026', name = 'y'`)
      await assertForeseen(pair, [1, 1, 0])
    })

  test('Postgres: the row that is there is found by the bytes of its key', async () => {
    await using pair = await openPair(await sqliteDatabase('triggers'), await postgresDatabase(), { adopt: true })
    await pair.left.sql(`CREATE TABLE t (id TEXT PRIMARY KEY, name TEXT); INSERT INTO t VALUES ('a', 'x'), ('b', 'x')`)
    await pair.right.sql(`CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      CREATE TABLE t (id text COLLATE loose PRIMARY KEY, name text, note text DEFAULT 'n', CHECK (name <> 'x' OR note IS NOT NULL));
      INSERT INTO t VALUES ('B', 'old', NULL)`)
    const { inserts, rejected } = await planSync(pair.sync, pair.project())
    assert.deepEqual([inserts, rejected], [2, 0])
  })

  test('SQLite: the types of a STRICT table', async () => {
    await using pair = await openPair(await sqliteDatabase('triggers'), await sqliteDatabase(), { adopt: true })
    await pair.left.sql(`CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT); INSERT INTO t VALUES (1, '1'), (2, 'two')`)
    await pair.right.sql('CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER) STRICT')
    const { inserts, rejected } = await planSync(pair.sync, pair.project())
    const run = await pair.run()
    assert.deepEqual([inserts, rejected], [run.inserted, run.rejected])
  })
})

test('plan knows what a target can’t hold at all: NUL in text, integers beyond 64 bits', async () => {
  await using pair = await openPair(await sqliteDatabase('triggers'), await postgresDatabase())
  await pair.left.sql(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b' || char(0) || 'c')`,
  )
  const before = await planSync(pair.sync, pair.project())
  assert.deepEqual([before.inserts, before.rejected], [1, 1])
  await using other = await openPair(await postgresDatabase(), await sqliteDatabase())
  await other.left.sql(`CREATE TABLE t (id integer PRIMARY KEY, n numeric); INSERT INTO t VALUES (1, 1)`)
  const { inserts } = await planSync(other.sync, other.project())
  assert.equal(inserts, 1)
})

test('point 59, one way: an adopted column that would round refuses the row, as plan says; what it holds as it is goes in', async () => {
  await using pair = await openPair(await postgresDatabase(), await postgresDatabase(), { adopt: true })
  await pair.left.sql(`CREATE TABLE t (id int PRIMARY KEY, price numeric, at timestamp, took interval);
    INSERT INTO t VALUES (1, 1.5, '2026-01-01 10:00', '1 s'), (2, 1.005, NULL, NULL), (3, NULL, '2026-01-01 10:00:00.7', NULL),
      (4, NULL, NULL, '1.25 s'), (5, 1.50, NULL, NULL)`)
  await pair.right.sql(
    'CREATE TABLE t (id int PRIMARY KEY, price numeric(5,2), at timestamp(0), took interval second(0))',
  )
  await assertForeseen(pair, [2, 0, 3])
  assert.deepEqual(await pair.right.sql('SELECT id, price FROM t ORDER BY id'), [
    ['1', '1.50'],
    ['5', '1.50'],
  ])
  await pair.left.sql('UPDATE t SET price = 1.999 WHERE id = 1')
  await assertForeseen(pair, [0, 0, 4])
  await pair.left.sql('UPDATE t SET price = 1.99 WHERE id = 1')
  await assertForeseen(pair, [0, 1, 3])
})

test('a row that can’t be read and was never in the target hides no deletion', async () => {
  await using pair = await openPair(await sqliteDatabase('triggers'), await sqliteDatabase())
  await pair.left.sql(
    "CREATE TABLE t (id INTEGER PRIMARY KEY, ok BOOLEAN); INSERT INTO t VALUES (1, 1), (2, 0), (3, x'00'), (4, x'00')",
  )
  assert.equal((await pair.run()).inserted, 2)
  await pair.left.sql("DELETE FROM t WHERE id = 1; UPDATE t SET ok = x'00' WHERE id = 2")
  const { deletes, rejected } = await planSync(pair.sync, pair.project())
  const run = await pair.run()
  assert.deepEqual([deletes, rejected], [1, 3])
  assert.deepEqual([run.deleted, run.rejected], [1, 3], run.error?.message)
})

test('a run that another has taken over says so, and is not told as interrupted', async () => {
  await using pair = await openPair(await sqliteDatabase('triggers'), await sqliteDatabase())
  await pair.left.sql('CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)')
  pair.interrupt.abort(new SyncError('LEASE_LOST', 'another process took over'))
  const { status, error } = await pair.run()
  assert.deepEqual([status, error?.code], ['failed', 'LEASE_LOST'])
})
