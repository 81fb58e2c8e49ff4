/** Deletions that a database carries on by itself (ON DELETE): nothing that people wrote goes with them unseen, and plan says what run does. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { cascadeFrom } from '../../src/connectors/cascades.ts'
import type { Connection, Context } from '../../src/connectors/connector.ts'
import { keyText } from '../../src/core/key-text.ts'
import { plainField } from '../../src/core/pairing.ts'
import { sideNames, type TwoWaySync } from '../../src/core/two-way.ts'
import type { Project } from '../../src/engine/project.ts'
import { runSync } from '../../src/engine/runs/run-sync.ts'
import { planTwoWay } from '../../src/engine/two-way/plan.ts'
import { verifyTwoWay } from '../../src/engine/two-way/verify.ts'
import { openMemoryStore } from '../../src/store/sqlite/store.ts'
import { type Database, postgresDatabase, sqliteDatabase } from '../hazards/pair.ts'
import { Random } from '../oracle/random.ts'
import { contactsSync } from './world.ts'

/** Two databases of the same tables, and a two-way sync for each table that is to be synced. */
class Family implements AsyncDisposable {
  readonly left: Database
  readonly right: Database
  readonly store = openMemoryStore()
  readonly syncs: readonly TwoWaySync[]
  readonly #open = new Map<string, Connection>()

  constructor(
    left: Database,
    right: Database,
    tables: Readonly<Record<string, readonly string[]>>,
    over: Partial<TwoWaySync> = {},
  ) {
    this.left = left
    this.right = right
    this.syncs = Object.entries(tables).map(([table, fields]) =>
      contactsSync({
        id: table,
        left: { connection: 'left', collection: table },
        right: { connection: 'right', collection: table },
        match: [{ field: 'id', by: null }],
        fields: fields.map(plainField),
        guard: { maxDeletes: 1000, maxDeleteShare: 1 },
        ...over,
      }),
    )
  }

  get project(): Project {
    const context: Context = {
      signal: new AbortController().signal,
      clock: { now: () => Date.now(), sleep: async () => {} },
      random: Math.random,
      log: () => {},
    }
    return {
      id: 'project',
      store: this.store,
      context,
      connection: async (name) => {
        const open = this.#open.get(name) ?? (await (name === 'left' ? this.left : this.right).connect(context))
        this.#open.set(name, open)
        return open
      },
      reconnect: async () => {},
      unreachable: new Set(),
      emit: () => {},
    }
  }

  async both(sql: string): Promise<void> {
    for (const side of sideNames) await this[side].sql(sql)
  }

  async plan(table: string) {
    return await planTwoWay(this.#sync(table), this.project)
  }

  async run(table: string) {
    return await runSync(this.#sync(table), this.project)
  }

  /** As `syncline run` does: all syncs, and once more in the reverse order. */
  async runAll() {
    const records = []
    for (const { id } of [...this.syncs, ...this.syncs.toReversed()]) records.push(await this.run(id))
    return records
  }

  async rows(side: 'left' | 'right', table: string) {
    return await this[side].sql(`SELECT * FROM ${table} ORDER BY id`)
  }

  async conflicts() {
    return await this.store.pairs.conflicts.list({ limit: 1000 })
  }

  #sync(table: string): TwoWaySync {
    const found = this.syncs.find(({ id }) => id === table)
    assert.ok(found)
    return found
  }

  async [Symbol.asyncDispose]() {
    for (const connection of this.#open.values()) await connection[Symbol.asyncDispose]()
    await this.store[Symbol.asyncDispose]()
    await this.left[Symbol.asyncDispose]()
    await this.right[Symbol.asyncDispose]()
  }
}

const synced = { p: ['id', 'v'], c: ['id', 'p', 'v'] }
const systems: Readonly<Record<string, () => Promise<Database>>> = {
  SQLite: sqliteDatabase,
  Postgres: postgresDatabase,
}

for (const [name, open] of Object.entries(systems))
  describe(`point 57: ${name}`, () => {
    test('an edited and a new child of a deleted parent stay, with the parent; others go as deletions of their own', async () => {
      await using family = new Family(await sqliteDatabase(), await open(), synced)
      await family.both('CREATE TABLE p (id integer PRIMARY KEY, v text)')
      await family.both('CREATE TABLE c (id integer PRIMARY KEY, p integer REFERENCES p ON DELETE CASCADE, v text)')
      await family.both("INSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, 'z')")
      await family.both("INSERT INTO c VALUES (10, 1, 'x'), (11, 1, 'y'), (20, 2, 'z'), (30, 3, 'w')")
      await family.runAll()
      await family.left.sql('DELETE FROM p WHERE id < 3')
      await family.right.sql("UPDATE c SET v = 'by a person' WHERE id = 10; INSERT INTO c VALUES (12, 1, 'new')")
      const plan = await family.plan('p')
      assert.deepEqual([plan.right.deletes, plan.warnings.length], [0, 1])
      assert.match(plan.warnings[0] ?? '', /2 deletions on the right wait for rows of c that refer to what would go/)
      for (let i = 0; i < 3; i++) await family.runAll()
      for (const side of sideNames) {
        assert.deepEqual(
          (await family.rows(side, 'p')).map(([id]) => Number(id)),
          [1, 3],
        )
        assert.deepEqual(
          (await family.rows(side, 'c')).map(([id, , v]) => [Number(id), v]),
          [
            [10, 'by a person'],
            [12, 'new'],
            [30, 'w'],
          ],
        )
      }
      const kept = (await family.conflicts()).map(({ sync, kind, left }) => [sync, kind, left])
      assert.deepEqual(kept.sort(), [
        ['c', 'delete', keyText([10])],
        ['p', 'delete', keyText([1])],
      ])
      const gone = await family.store.pairs.journal.ofRow('c', 'right', keyText([20]), 10)
      assert.deepEqual(
        gone.map(({ kind }) => kind),
        ['delete'],
      )
      for (const record of await family.runAll())
        assert.deepEqual([record.error, record.inserted + record.updated + record.deleted], [null, 0])
    })

    test('within one table that refers to itself', async () => {
      await using family = new Family(
        await sqliteDatabase(),
        await open(),
        { t: ['id', 'up', 'v'] },
        { onDeleteConflict: 'ask', batch: { rows: 2, bytes: 1_000_000 } },
      )
      await family.both('CREATE TABLE t (id integer PRIMARY KEY, up integer REFERENCES t ON DELETE CASCADE, v text)')
      await family.both(
        "INSERT INTO t VALUES (1, NULL, 'a'), (2, 1, 'b'), (3, 2, 'c'), (4, NULL, 'd'), (5, 4, 'e'), (6, 5, 'f'), (7, NULL, 'g')",
      )
      await family.runAll()
      await family.left.sql('DELETE FROM t WHERE id IN (1, 4)')
      await family.right.sql("UPDATE t SET v = 'by a person' WHERE id = 6")
      const plan = await family.plan('t')
      assert.deepEqual([plan.right.deletes, plan.conflicts], [3, 1])
      await family.runAll()
      await family.runAll()
      assert.deepEqual(
        (await family.rows('right', 't')).map(([id]) => Number(id)),
        [4, 5, 6, 7],
      )
      const open_ = (await family.conflicts()).filter(({ status }) => status === 'open').map(({ left }) => left)
      assert.deepEqual(open_.sort(), [keyText([4]), keyText([5]), keyText([6])])
      const verified = await verifyTwoWay(family.syncs[0] as TwoWaySync, family.project, () => {})
      assert.equal(verified.conflicts, 3)
    })

    test('rows that nobody syncs go along, count for the guard, and plan names them', async () => {
      await using family = new Family(
        await sqliteDatabase(),
        await open(),
        { p: ['id', 'v'] },
        { guard: { maxDeletes: 10, maxDeleteShare: 0.2 } },
      )
      await family.both('CREATE TABLE p (id integer PRIMARY KEY, v text)')
      await family.right.sql('CREATE TABLE log (id integer PRIMARY KEY, p integer REFERENCES p ON DELETE CASCADE)')
      await family.right.sql('CREATE TABLE line (id integer PRIMARY KEY, log integer REFERENCES log ON DELETE CASCADE)')
      await family.right.sql('CREATE TABLE note (id integer PRIMARY KEY, p integer REFERENCES p ON DELETE SET NULL)')
      await family.both("INSERT INTO p VALUES (1, 'a'), (2, 'b')")
      await family.runAll()
      await family.right.sql('INSERT INTO log VALUES (1, 1), (2, 1), (3, 2); INSERT INTO note VALUES (1, 1)')
      await family.right.sql(
        `INSERT INTO line VALUES ${Array.from({ length: 50 }, (_, at) => `(${at}, 1)`).join(', ')}`,
      )
      await family.left.sql('DELETE FROM p WHERE id = 1')
      const plan = await family.plan('p')
      assert.deepEqual([plan.right.deletes, plan.held], [1, true])
      assert.match(plan.warnings.join('\n'), /delete 2 rows of (public\.)?log, which no two-way sync holds/)
      assert.match(plan.warnings.join('\n'), /delete 50 rows of (public\.)?line/)
      assert.match(plan.warnings.join('\n'), /change 1 row of (public\.)?note/)
      const record = await family.run('p')
      assert.deepEqual([record.status, record.heldDeletes], ['held', 53])
      assert.equal((await family.rows('right', 'log')).length, 3)
      await family.store.runs.release(record.id, Date.now())
      assert.equal((await family.run('p')).deleted, 1)
      assert.equal((await family.rows('right', 'log')).length, 1)
    })

    test('what is reached through rows that nobody syncs stays, too', async () => {
      await using family = new Family(await sqliteDatabase(), await open(), { p: ['id'], d: ['id', 'm', 'v'] })
      await family.both('CREATE TABLE p (id integer PRIMARY KEY)')
      await family.both('CREATE TABLE m (id integer PRIMARY KEY, p integer REFERENCES p ON DELETE CASCADE)')
      await family.both('CREATE TABLE d (id integer PRIMARY KEY, m integer REFERENCES m ON DELETE CASCADE, v text)')
      await family.both(
        "INSERT INTO p VALUES (1), (2); INSERT INTO m VALUES (5, 1), (6, 2); INSERT INTO d VALUES (9, 5, 'x'), (8, 6, 'w')",
      )
      await family.runAll()
      await family.left.sql('DELETE FROM p WHERE id = 1')
      await family.right.sql("UPDATE d SET v = 'by a person' WHERE id = 9")
      await family.run('p')
      assert.deepEqual(
        (await family.rows('right', 'd')).map(([id, , v]) => [Number(id), v]),
        [
          [8, 'w'],
          [9, 'by a person'],
        ],
      )
    })

    test('through a tree that nobody syncs, and through a cycle of two tables, to whatever depth', async () => {
      await using family = new Family(await sqliteDatabase(), await open(), { p: ['id'], d: ['id', 'm', 'v'] })
      await family.both('CREATE TABLE p (id integer PRIMARY KEY)')
      await family.both(
        `CREATE TABLE m (id integer PRIMARY KEY, p integer REFERENCES p ON DELETE CASCADE,
           up integer REFERENCES m ON DELETE CASCADE)`,
      )
      await family.both(
        `CREATE TABLE n (id integer PRIMARY KEY, m integer REFERENCES m ON DELETE CASCADE, up integer);
         CREATE TABLE o (id integer PRIMARY KEY, n integer REFERENCES n ON DELETE CASCADE, v text)`,
      )
      // A cycle of two tables, which SQLite can't be given later.
      await family.both('CREATE TABLE q (id integer PRIMARY KEY, n integer REFERENCES n ON DELETE CASCADE)')
      await family.both('ALTER TABLE m ADD COLUMN q integer REFERENCES q ON DELETE CASCADE')
      await family.both('CREATE TABLE d (id integer PRIMARY KEY, m integer REFERENCES m ON DELETE CASCADE, v text)')
      await family.both('INSERT INTO p VALUES (1), (2), (3)')
      await family.both(
        'INSERT INTO m VALUES (1, 1, NULL, NULL), (2, NULL, 1, NULL), (3, NULL, 2, NULL), (7, 3, NULL, NULL)',
      )
      await family.both('INSERT INTO n VALUES (1, 3, NULL); INSERT INTO q VALUES (1, 1)')
      await family.both("INSERT INTO m VALUES (4, NULL, NULL, 1), (5, NULL, 4, NULL); INSERT INTO o VALUES (1, 1, 'x')")
      await family.both('UPDATE m SET q = 1 WHERE id = 1')
      await family.both("INSERT INTO d VALUES (7, NULL, 'z'), (8, 7, 'w'), (9, 5, 'x')")
      await family.runAll()
      await family.left.sql('DELETE FROM p WHERE id IN (1, 3)')
      await family.right.sql("UPDATE d SET v = 'by a person' WHERE id = 9")
      // The tree of 1 has five rows of m; that of 3 has one.
      const connection = await family.project.connection('right')
      const dependents = await (await connection.collection('p')).dependents?.([[1], [2], [3]], ['p'])
      const counts = (dependents ?? []).filter(({ rows }) => rows > 0)
      assert.deepEqual(
        counts.map(({ at, collection, rows }) => `${at} ${collection.replace('public.', '')} ${rows}`).sort(),
        ['0 d 1', '0 m 5', '0 n 1', '0 o 1', '0 q 1', '2 d 1', '2 m 1'],
      )
      for (let i = 0; i < 2; i++) await family.runAll()
      assert.deepEqual(
        (await family.rows('right', 'd')).map(([id, , v]) => [Number(id), v]),
        [
          [7, 'z'],
          [9, 'by a person'],
        ],
      )
      assert.deepEqual(
        (await family.rows('right', 'p')).map(([id]) => Number(id)),
        [1, 2],
      )
      // On the left its folder is gone, so that the edited row can't be there.
      for (const record of await family.runAll()) assert.equal(record.inserted + record.updated + record.deleted, 0)
    })
  })

test('point 57: twenty tables that all refer to each other are a short question', () => {
  const names = Array.from({ length: 20 }, (_, at) => `t${at}`)
  const acting = names.flatMap((child) =>
    names.map((parent) => ({ child, childFields: [parent], parent, parentFields: ['id'], effect: 'deleted' as const })),
  )
  assert.deepEqual(cascadeFrom('t0', acting, () => false).tables, names)
  assert.equal(cascadeFrom('t0', acting, () => false).keys.length, 400)
  assert.deepEqual(cascadeFrom('t0', acting, (name) => name !== 't5').tables, ['t0', 't5'])
})

for (const [name, rounds] of [
  ['SQLite', 15],
  ['Postgres', 5],
] as const)
  test(`point 57: random foreign keys of every action, ${name}: plan says what run does, and no edit is lost`, async () => {
    const seed = Number(process.env.SYNCLINE_ORACLE_SEED ?? 1)
    for (let round = seed; round < seed + Number(process.env.SYNCLINE_ORACLE_ROUNDS ?? rounds); round++)
      await liveRandomFamily(systems[name] as () => Promise<Database>, new Random(round), `${name}, seed ${round}`)
  })

async function liveRandomFamily(open: () => Promise<Database>, random: Random, story: string): Promise<void> {
  const action = () => random.pick(['CASCADE', 'CASCADE', 'SET NULL', 'SET DEFAULT', 'RESTRICT', 'NO ACTION'])
  const over = {
    onDeleteConflict: random.pick(['keep', 'delete', 'ask'] as const),
    onConflict: random.pick(['left', 'right', 'ask'] as const),
    deletes: random.chance(0.2) ? ('keep' as const) : ('propagate' as const),
    batch: { rows: random.pick([1, 3, 100]), bytes: 1_000_000 },
  }
  const tables = { a: ['id', 'up', 'v'], b: ['id', 'up', 'v'], ...(random.chance(0.7) ? { c: ['id', 'up', 'v'] } : {}) }
  await using family = new Family(await open(), await open(), tables, over)
  const parents = { a: random.chance(0.5) ? 'a' : null, b: random.pick(['a', 'a', 'b']), c: random.pick(['a', 'b']) }
  const actions = { a: action(), b: action(), c: action() }
  const alike = random.chance(0.7)
  // Of b: folders that nobody syncs, in each other and in a cycle with another table.
  const tree = random.chance(0.5)
  for (const side of sideNames)
    for (const table of ['a', 'b', 'c'] as const) {
      const parent = parents[table]
      const on = alike || side === 'left' ? actions[table] : action()
      const reference = parent === null ? '' : `REFERENCES ${parent} ON DELETE ${on}`
      const through = table === 'b' && tree ? `, f INTEGER REFERENCES f ON DELETE ${on}` : ''
      if (through !== '')
        await family[side].sql(
          `CREATE TABLE f (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a ON DELETE CASCADE, up INTEGER REFERENCES f ON DELETE CASCADE);
           CREATE TABLE g (id INTEGER PRIMARY KEY, f INTEGER REFERENCES f ON DELETE CASCADE)`,
        )
      if (through !== '') await family[side].sql('ALTER TABLE f ADD COLUMN g INTEGER REFERENCES g ON DELETE CASCADE')
      await family[side].sql(
        `CREATE TABLE ${table} (id INTEGER PRIMARY KEY, up INTEGER ${reference}, v TEXT${through})`,
      )
    }
  const insert = (table: 'a' | 'b' | 'c', id: number, v: string) => {
    const up =
      parents[table] === null || (parents[table] === table && id % 10 < 3)
        ? 'NULL'
        : parents[table] === table
          ? String(id - 2)
          : String(random.between(1, 8))
    return `INSERT INTO ${table} (id, up, v) VALUES (${id}, ${up}, '${v}') ON CONFLICT DO NOTHING`
  }
  for (const table of ['a', 'b', 'c'] as const)
    for (let id = 1; id <= 8; id++) {
      const sql = insert(table, id, `${table}${id}`)
      await family.both(sql)
    }
  if (tree) {
    for (let id = 1; id <= 6; id++) {
      const [a, up] = [id <= 2 ? random.between(1, 8) : 'NULL', id <= 2 ? 'NULL' : random.between(1, id - 1)]
      await family.both(`INSERT INTO f VALUES (${id}, ${a}, ${up}, NULL)`)
    }
    await family.both(`INSERT INTO g VALUES (1, ${random.between(1, 6)})`)
    await family.both(`UPDATE f SET g = 1 WHERE id = ${random.between(1, 6)}`)
    for (let id = 1; id <= 8; id++) await family.both(`UPDATE b SET f = ${random.between(1, 6)} WHERE id = ${id}`)
  }
  for (let i = 0; i < 2; i++) await family.runAll()
  const written: string[] = []
  for (let deed = 0; deed < 8; deed++) {
    const side = random.pick(sideNames)
    const table = random.pick(Object.keys(tables) as ('a' | 'b' | 'c')[])
    const id = random.between(1, 8)
    // A person's deletion may be refused, and an edit may meet no row.
    if (random.chance(0.4)) await family[side].sql(`DELETE FROM ${table} WHERE id = ${id}`).catch(() => {})
    else {
      const v = `edit ${deed}`
      await family[side].sql(`UPDATE ${table} SET v = '${v}' WHERE id = ${id}`)
      written.push(v)
    }
  }
  // What another person wrote over, or deleted knowingly, is not looked for.
  const values = async () =>
    new Set(
      (await Promise.all(sideNames.flatMap((side) => Object.keys(tables).map((table) => family.rows(side, table)))))
        .flat()
        .map(([, , v]) => String(v)),
    )
  const there = await values()
  const expected = written.filter((v) => there.has(v))
  for (let i = 0; i < 4; i++)
    for (const { id } of i % 2 === 0 ? family.syncs : family.syncs.toReversed()) {
      const plan = await family.plan(id)
      const record = await family.run(id)
      const told = `${story}, ${id}, pass ${i}: ${record.error?.message} ${JSON.stringify({ parents, actions, alike, over })}`
      assert.equal(record.deleted, plan.deletes, told)
      // A row whose parent is missing where it would go is only found out by the database.
      await using memory = await family.store.pairs.read(id)
      const waiting = await memory.waiting()
      const orphans = [...waiting.pairs, ...waiting.unpaired].filter(({ code }) => code === 'PARENT_MISSING').length
      const [planned, done] = [plan.inserts + plan.updates, record.inserted + record.updated]
      assert.ok(
        done <= planned && done >= planned - orphans,
        `${told}: ${done} of ${planned} writes, ${orphans} orphans`,
      )
    }
  const now = await values()
  const recorded = JSON.stringify(await family.conflicts())
  for (const v of expected) assert.ok(now.has(v) || recorded.includes(v), `${story}: ${v} is lost`)
}
