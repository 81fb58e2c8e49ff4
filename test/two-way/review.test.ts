/** What a review with fresh eyes found, each as small as possible. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { parseConfig } from '../../src/config/schema.ts'
import { sqlite } from '../../src/connectors/sqlite/index.ts'
import { SyncError } from '../../src/core/error.ts'
import { planTwoWay } from '../../src/engine/two-way/plan.ts'
import { undoRun } from '../../src/engine/two-way/undo.ts'
import { temporaryFolder } from '../../tools/database.ts'
import { contactFields, contactsSync, field, schemaOf, World } from './world.ts'

const ann = [1, 'Ann', 'ann@x.org', '1'] as const
const bob = [2, 'Bob', 'bob@x.org', '2'] as const

async function paired(over: ConstructorParameters<typeof World>[0] = {}): Promise<World> {
  const world = new World(over)
  world.left.put('contacts', ann, bob)
  assert.equal((await world.sync()).status, 'succeeded')
  return world
}

test('pairs of one table are not taken for those of another', async () => {
  const world = await paired()
  world.right.create(schemaOf('people', contactFields, ['id']))
  world.right.put('people', [9, 'Zoe', 'zoe@x.org', '9'])
  world.syncs = [contactsSync({ right: { connection: 'right', collection: 'people' } })]
  const record = await world.sync()
  assert.equal(record.error?.code, 'CONFIG_INVALID')
  assert.match(record.error?.hint ?? '', /reset contacts/)
  assert.equal(world.left.rows('contacts').length, 2)
})

test('a pending edit outlives the change from hashes to values, and a new name for its field', async () => {
  for (const over of [
    { bases: 'values' as const },
    {
      bases: 'hash' as const,
      fields: [field('title', { left: 'name', right: 'name' }), field('email'), field('phone')],
    },
  ]) {
    const world = await paired({ bases: 'hash', onConflict: 'left' })
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'])
    world.right.put('contacts', [2002, 'Bob', 'bob@x.org', '22'])
    world.syncs = [contactsSync({ onConflict: 'left', ...over })]
    assert.equal((await world.sync()).updated, 2)
    assert.deepEqual(world.values('left'), world.values('right'))
    assert.equal(World.writes(await world.sync()), 0)
  }
})

test('an undo can be undone', async () => {
  const world = await paired()
  const [first] = await world.store.runs.list({ limit: 1 })
  const undo = async (run: string, id: string) => {
    const { leases, holder } = world.store
    const lease = await leases.take(world.syncs[0]!.id, holder, world.now, 60_000)
    return await undoRun(run, world.syncs[0]!, world.project, { lease, id })
  }
  await undo(first?.id ?? '', 'u1')
  assert.equal(world.right.rows('contacts').length, 0)
  await undo('u1', 'u2')
  assert.deepEqual(
    world.values('right').map(([name]) => name),
    ['Ann', 'Bob'],
  )
})

test('a value that a deletion of the same run frees can be taken', async () => {
  const world = await paired({ guard: { maxDeletes: 100, maxDeleteShare: 1 }, match: [] })
  world.right.unique = new Map([['contacts', ['email']]])
  world.left.delete('contacts', [2])
  world.left.put('contacts', [3, 'Bobby', 'bob@x.org', '3'])
  const record = await world.sync()
  assert.equal(record.status, 'succeeded')
  assert.deepEqual(world.values('left'), world.values('right'))
})

test('two fields that would write one column are refused', () => {
  const connection = sqlite({ file: 'x.db' })
  const fields = { a: 'name', b: { left: 'other', right: 'name' } }
  const raw = { connections: { l: connection, r: connection }, syncs: { s: { between: ['l.t', 'r.u'], fields } } }
  assert.throws(
    () => parseConfig(raw, { file: 'syncline.config.ts', folder: '.', environment: {} }),
    (error) =>
      error instanceof SyncError &&
      /syncs\.s\.fields\.b: would write name on the right, as "a" does/.test(error.message),
  )
})

test('plan installs no triggers', async () => {
  await using folder = await temporaryFolder()
  for (const name of ['left', 'right']) {
    using database = new DatabaseSync(join(folder.path, `${name}.db`))
    database.exec('create table contacts (id integer primary key, name text, email text, phone text)')
    if (name === 'left') database.exec("insert into contacts values (1, 'Ann', 'ann@x.org', '1')")
  }
  const bytes = () => readdirSync(folder.path).map((file) => readFileSync(join(folder.path, file)).toString('base64'))
  const before = bytes()
  const world = new World()
  const connection = (name: string) =>
    sqlite.open({ file: join(folder.path, `${name}.db`), track: 'triggers', busyTimeoutMs: 1000 }, world.context)
  const plan = await planTwoWay(world.syncs[0]!, { ...world.project, connection })
  assert.equal(plan.right.inserts, 1)
  assert.deepEqual(bytes(), before)
})

test('a row whose key was changed stays the row that it is, where the match says so', async () => {
  for (const edits of [false, true]) {
    const world = await paired()
    world.left.delete('contacts', [1])
    world.left.put('contacts', [7, 'Ann', 'ann@x.org', '1'])
    if (edits) world.right.put('contacts', [2001, 'Ann', 'ann@x.org', '11'])
    const record = await world.sync()
    assert.deepEqual([record.inserted, record.deleted, record.updated], [0, 0, edits ? 1 : 0])
    assert.deepEqual(world.values('left'), world.values('right'))
    assert.deepEqual(
      world.left.rows('contacts').map(([id]) => id),
      [2, 7],
    )
    assert.equal(World.writes(await world.sync()), 0)
  }
})

test('a field that people disagree about again does not take the place of what was given up before', async () => {
  const world = await paired()
  world.left.put('contacts', [1, 'Left name', 'ann@x.org', 'left 1'])
  world.right.put('contacts', [2001, 'Right name', 'ann@x.org', 'right 1'])
  await world.sync()
  const [first] = await world.store.pairs.conflicts.list({ status: ['open'], limit: 10 })
  assert.deepEqual(Object.keys(first?.fields ?? {}).toSorted(), ['name', 'phone'])
  // Somebody decides about the phone, and leaves the name open.
  const phone = first?.fields.phone
  assert.ok(first !== undefined && phone !== undefined)
  const decided = { ...first.fields, phone: { ...phone, status: 'decided' as const, take: { side: 'left' as const } } }
  await world.store.pairs.conflicts.decide(first.id, decided, 'decided')
  await world.sync()
  world.left.put('contacts', [1, 'Left name', 'ann@x.org', 'left 2'])
  world.right.put('contacts', [2001, 'Right name', 'ann@x.org', 'right 2'])
  await world.sync()
  const all = JSON.stringify(await world.store.pairs.conflicts.list({ limit: 10 }))
  for (const value of ['right 1', 'left 2', 'right 2']) assert.ok(all.includes(value), `${value} is nowhere: ${all}`)
  const open = await world.store.pairs.conflicts.list({ status: ['open', 'decided'], limit: 10 })
  assert.equal(open.filter(({ fields }) => fields.phone?.status === 'open').length, 1)
  assert.equal(World.writes(await world.sync()), 0)
})
