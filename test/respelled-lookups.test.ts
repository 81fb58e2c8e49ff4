/** What looking keys up costs in a SQLite file that may spell them in its own way: the table is not read for each new key. */
import assert from 'node:assert/strict'
import { StatementSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { everything } from '../src/connectors/connector.ts'
import { plainField } from '../src/core/pairing.ts'
import { planSync } from '../src/engine/one-way/plan.ts'
import { testContext } from '../src/testing/index.ts'
import { openPair, sqliteDatabase } from './hazards/pair.ts'
import { openTwoWay } from './two-way/pair.ts'

/** Statements that read a table by a function of ours, or by the shape of its keys: no index serves. */
let readings = 0
/** … and those that compare all keys with each other. */
let groupings = 0
const ran = ['get', 'all', 'iterate', 'run'] as const
const asTheyAre = new Map(ran.map((name) => [name, Object.getOwnPropertyDescriptor(StatementSync.prototype, name)]))
for (const [name, { value } = {}] of asTheyAre)
  Object.defineProperty(StatementSync.prototype, name, {
    configurable: true,
    writable: true,
    value(this: StatementSync, ...values: unknown[]) {
      if (/WHERE.*(_syncline_canonical|_syncline_said|GLOB)/s.test(this.sourceSQL)) readings++
      if (/GROUP BY.*HAVING count/s.test(this.sourceSQL)) groupings++
      return value.apply(this, values)
    },
  })
after(() => {
  for (const [name, descriptor] of asTheyAre)
    if (descriptor !== undefined) Object.defineProperty(StatementSync.prototype, name, descriptor)
})

async function readingsOf(work: () => Promise<unknown>): Promise<number> {
  const before = readings
  await work()
  return readings - before
}

async function groupingsOf(work: () => Promise<unknown>): Promise<number> {
  const before = groupings
  await work()
  return groupings - before
}

const rowCount = 300
/** A key that is there in a spelling of its own, and how new ones are made of a number `i`. */
const shapes = {
  UUID: { unusual: "'{0000000A-0000-4000-8000-00000000000a}'", made: "printf('%08x-0000-4000-8000-%012x', i, i)" },
  'UUID NOT NULL': {
    unusual: "'{0000000A-0000-4000-8000-00000000000a}'",
    made: "printf('{%08x-0000-4000-8000-%012x}', i, i)",
  },
  JSON: { unusual: `'{"a": 1}'`, made: `printf('{"n":%d}', i)` },
}

const fill = (table: string, { made }: { readonly made: string }, from: number) =>
  `WITH RECURSIVE c(i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM c WHERE i < ${from + rowCount - 1})
   INSERT INTO ${table} SELECT ${made}, 'v' FROM c`

const spelled = (unusual: boolean) => (unusual ? 'some in a spelling of their own' : 'all in a usual spelling')

for (const [declared, shape] of Object.entries(shapes)) {
  for (const unusual of [false, true]) {
    test(`two ways, new rows with keys declared ${declared}, ${spelled(unusual)}`, async () => {
      await using pair = openTwoWay(await sqliteDatabase(), await sqliteDatabase(), {
        match: [{ field: 'id', by: null }],
        fields: ['id', 'v'].map((name) => plainField(name)),
      })
      for (const side of ['left', 'right'] as const)
        await pair[side].sql(
          `CREATE TABLE contacts (id ${declared} PRIMARY KEY, v TEXT); ${unusual ? `INSERT INTO contacts VALUES (${shape.unusual}, 'v')` : ''}`,
        )
      await pair.writes()
      await pair.left.sql(fill('contacts', shape, 1000))
      const writes = async () => assert.equal(await pair.writes(), rowCount)
      assert.ok((await readingsOf(writes)) < 30)
      assert.equal(await pair.writes(), 0)
      assert.equal((await pair.verify()).equal, true)
    })
  }
}

for (const unusual of [false, true])
  test(`an adopted table, and plan before it, ${spelled(unusual)}`, async () => {
    await using pair = await openPair(await sqliteDatabase(), await sqliteDatabase(), { adopt: true })
    for (const side of ['left', 'right'] as const)
      await pair[side].sql(
        `CREATE TABLE t (id UUID PRIMARY KEY, v TEXT); ${unusual ? `INSERT INTO t VALUES (${shapes.UUID.unusual}, 'v')` : ''}`,
      )
    await pair.mustRun()
    await pair.left.sql(fill('t', shapes.UUID, 1000))
    assert.ok((await readingsOf(() => planSync(pair.sync, pair.project()))) < 30)
    const writes = async () => assert.equal((await pair.mustRun()).inserted, rowCount)
    assert.ok((await readingsOf(writes)) < 30)
    assert.equal((await pair.verify()).equal, true)
  })

test('a key that somebody writes in a spelling of their own between two runs is found', async () => {
  await using pair = openTwoWay(await sqliteDatabase(), await sqliteDatabase(), {
    match: [{ field: 'id', by: null }],
    fields: ['id', 'v'].map((name) => plainField(name)),
  })
  for (const side of ['left', 'right'] as const)
    await pair[side].sql('CREATE TABLE contacts (id UUID PRIMARY KEY, v TEXT)')
  await pair.left.sql(`INSERT INTO contacts SELECT 'AAAAAAAA-0000-4000-8000-00000000000b', 'v'`)
  assert.equal(await pair.writes(), 1)
  await pair.right.sql(`INSERT INTO contacts VALUES (${shapes.UUID.unusual}, 'old')`)
  assert.equal(await pair.writes(), 1)
  await pair.left.sql("UPDATE contacts SET v = 'new'")
  assert.equal(await pair.writes(), 2)
  assert.deepEqual(await pair.read('right', `SELECT v FROM contacts WHERE id = ${shapes.UUID.unusual}`), [['new']])
  await pair.left.sql("DELETE FROM contacts WHERE v = 'new' AND id LIKE 'A%'")
  assert.equal(await pair.writes(), 1)
  assert.equal((await pair.verify()).equal, true)
})

test('whether rows have one key is found once for what a file holds, not for each scan', async () => {
  await using file = await sqliteDatabase()
  await file.sql(`CREATE TABLE t (id UUID PRIMARY KEY, v TEXT); ${fill('t', shapes.UUID, 1000)}`)
  await file.sql('UPDATE t SET id = upper(id)')
  await using connection = await file.connect(testContext())
  const collection = await connection.collection('t', {})
  const refused = async () => {
    await using view = await collection.view?.({ fields: ['id'], where: null })
    assert.ok(view)
    const codes: string[] = []
    for (let scans = 0; scans < 3; scans++)
      for await (const { rejects } of view.scan(everything, ['id'])) codes.push(...rejects.map(({ code }) => code))
    return codes
  }
  assert.equal(await groupingsOf(async () => assert.deepEqual(await refused(), [])), 1)
  assert.equal(await groupingsOf(async () => assert.deepEqual(await refused(), [])), 0)
  await file.sql('INSERT INTO t SELECT lower(id), v FROM t LIMIT 1')
  const twice = Array.from({ length: 6 }, () => 'KEY_DUPLICATE')
  assert.equal(await groupingsOf(async () => assert.deepEqual(await refused(), twice)), 1)
  await file.sql('DELETE FROM t WHERE id = lower(id)')
  assert.equal(await groupingsOf(async () => assert.deepEqual(await refused(), [])), 1)
})
