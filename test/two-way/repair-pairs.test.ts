/** Pairs that a state has lost, found again (point 48 of what trying the product showed; hazard 42). */
import assert from 'node:assert/strict'
import { copyFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TwoWaySync } from '../../src/core/two-way.ts'
import { underLease } from '../../src/engine/runs/run-under-lease.ts'
import { Changes } from '../../src/engine/two-way/changes.ts'
import { openPairSides } from '../../src/engine/two-way/open.ts'
import { type PairedBy, type PairRepair, repairPairs } from '../../src/engine/two-way/repair-pairs.ts'
import { openMemoryStore, openSqliteStore } from '../../src/store/sqlite/store.ts'
import { temporaryFolder } from '../../tools/database.ts'
import { call, start, writeConfig } from '../oracle/project.ts'
import { connections, type Project, people, project } from './people-project.ts'
import { World } from './world.ts'

const names = (world: World, side: 'left' | 'right') => world.values(side).map(([name]) => name)

async function repair(world: World, by: PairedBy, apply: boolean): Promise<PairRepair> {
  const [sync] = world.syncs
  assert.ok(sync !== undefined)
  return apply
    ? await underLease(sync, world.project, (lease, held) => repairPairs(sync, held, by, lease))
    : await repairPairs(sync, world.project, by, null)
}

/** Everything a store holds is as it was when `take` was called. */
async function restorable(world: World, folder: string, work: () => Promise<void>): Promise<AsyncDisposable> {
  const state = join(folder, '.syncline', 'state.db')
  await world.store[Symbol.asyncDispose]()
  await copyFile(state, `${state}.backup`)
  const later = await openSqliteStore(folder)
  Object.assign(world, { store: later })
  await work()
  await later[Symbol.asyncDispose]()
  await copyFile(`${state}.backup`, state)
  await rm(`${state}-wal`, { force: true })
  const restored = await openSqliteStore(folder)
  Object.assign(world, { store: restored })
  return restored
}

describe('a state that is older than its sides', () => {
  test('gets the pairs by fields: no row is doubled, and an edit of the lost time is on record', async () => {
    await using folder = await temporaryFolder()
    const world = new World({ match: [], onConflict: 'right' }, {}, await openSqliteStore(folder.path))
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'], [2, 'Bob', 'bob@x.org', '2'])
    assert.equal((await world.sync()).error, null)
    await using _store = await restorable(world, folder.path, async () => {
      world.left.put('contacts', [3, 'Cid', 'cid@x.org', '3'], [4, 'Dan', null, '4'])
      world.left.put('contacts', [2, 'Bobby', 'bob@x.org', '2'])
      assert.equal((await world.sync()).error, null)
    })
    assert.equal((await world.sync()).error?.code, 'STATE_OLDER')
    world.right.put('contacts', [1001, 'Eve', 'eve@x.org', '5'])

    const looked = await repair(world, ['email'], false)
    assert.equal((await world.sync()).error?.code, 'STATE_OLDER', 'looking changes nothing')
    const done = await repair(world, ['email'], true)
    assert.deepEqual(done, looked)
    assert.deepEqual([done.known, done.found, done.lost], [2, 1, { left: 0, right: 0 }])
    assert.deepEqual(done.alone.left, { rows: 1, ambiguous: 0, samples: [{ id: 4 }] })
    assert.deepEqual(done.alone.right.rows, 2)

    const run = await world.sync()
    assert.equal(run.error, null)
    // A row that nothing pairs is told of before, and doubled as it was told.
    assert.deepEqual(names(world, 'left'), names(world, 'right'))
    assert.deepEqual(names(world, 'left'), ['Ann', 'Bobby', 'Cid', 'Dan', 'Dan', 'Eve'])
    assert.equal(World.writes(await world.sync()), 0)
  })

  test('rows whose values are not unique are told of, and not paired', async () => {
    await using folder = await temporaryFolder()
    const world = new World({ match: [] }, {}, await openSqliteStore(folder.path))
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
    await world.sync()
    await using _store = await restorable(world, folder.path, async () => {
      world.left.put('contacts', [2, 'Cid', 'c@x.org', '3'], [3, 'Cid too', 'c@x.org', '4'])
      await world.sync()
    })
    const { found, alone } = await repair(world, ['email'], false)
    assert.deepEqual([found, alone.left.ambiguous, alone.right.ambiguous], [0, 2, 2])
    assert.deepEqual((await repair(world, ['name'], false)).found, 2)
  })

  test('keys of other types are refused in words, as is a match that is not there', async () => {
    const world = new World({ match: [] }, { right: { id: 'text', name: 'text', email: 'text', phone: 'text' } })
    await assert.rejects(repair(world, 'key', false), /keys id \(integer\) and id \(text\) can't be compared/)
    await assert.rejects(repair(world, 'match', false), /has no `match` to pair rows by/)
    await assert.rejects(repair(world, ['nobody'], false), /"nobody" is none of the sync's fields/)
  })

  test('a row whose counterpart was deleted, and which stays, does not go back', async () => {
    await using folder = await temporaryFolder()
    const world = new World({ match: [], deletes: 'keep' }, {}, await openSqliteStore(folder.path))
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'], [2, 'Bob', 'bob@x.org', '2'])
    await world.sync()
    world.left.delete('contacts', [1])
    await world.sync()
    assert.deepEqual(names(world, 'right'), ['Ann', 'Bob'])
    await using _store = await restorable(world, folder.path, async () => {
      world.left.put('contacts', [3, 'Cid', 'cid@x.org', '3'])
      await world.sync()
    })
    const { found, alone } = await repair(world, ['email'], true)
    assert.deepEqual([found, alone.right.rows], [1, 0])
    assert.equal((await world.sync()).error, null)
    assert.deepEqual(names(world, 'left'), ['Bob', 'Cid'])
    // Unless it is back by itself.
    world.left.put('contacts', [7, 'Ann', 'ann@x.org', '1'])
    assert.equal((await repair(world, ['email'], true)).found, 1)
    assert.equal(World.writes(await world.sync()), 0)
  })
})

describe('the command', () => {
  /** A project without `match` whose state was lost after its rows were synced. */
  async function lost(of: Project): Promise<void> {
    await writeConfig(of.folder, { connections, syncs: { people: { ...people, match: [] } } })
    for (const end of ['', '-wal', '-shm']) await rm(join(of.folder, '.syncline', `state.db${end}`), { force: true })
    assert.equal((await call(of.folder, 'run')).finished[0]?.code, 'STATE_OLDER')
  }

  test('shows what it would do, does it with --yes, and the next run writes nothing', async () => {
    await using of = await project()
    await lost(of)
    const before = [of.crm('SELECT * FROM people'), of.shop('SELECT * FROM people')]
    const [looked] = (await call(of.folder, 'repair-pairs', 'people', '--by', 'email')).lines
    assert.deepEqual([looked?.event, looked?.done, looked?.found], ['repair-pairs', false, 2])
    assert.equal((await call(of.folder, 'run')).finished[0]?.code, 'STATE_OLDER')
    assert.equal((await call(of.folder, 'repair-pairs', 'people', '--by', 'email', '--yes')).code, 0)
    const run = await call(of.folder, 'run')
    assert.deepEqual(
      run.finished.map(({ status, written }) => [status, written]),
      [['succeeded', 0]],
    )
    assert.deepEqual([of.crm('SELECT * FROM people'), of.shop('SELECT * FROM people')], before)
  })

  test('kill -9 at any time: the state is refused as before, or whole', async () => {
    await using of = await project()
    of.crm(
      "INSERT INTO people WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i, i || '@x.org', 'n' || i, '1', '1' FROM n",
    )
    await of.call('run')
    await lost(of)
    const rows = of.crm('SELECT count(*) FROM people')
    let killed = 0
    for (let after = 150; killed < 6; after += 60) {
      const running = start(of.folder, 'repair-pairs', 'people', '--by', 'email', '--yes')
      await sleep(after)
      running.kill('SIGKILL')
      if ((await running.ended).signal !== 'SIGKILL') break
      killed++
      const { finished } = await call(of.folder, 'run')
      assert.equal(finished[0]?.code, 'STATE_OLDER')
    }
    assert.ok(killed > 0)
    await of.call('repair-pairs', 'people', '--by', 'email', '--yes')
    assert.equal((await call(of.folder, 'run')).finished[0]?.written, 0)
    assert.deepEqual([of.crm('SELECT count(*) FROM people'), of.shop('SELECT count(*) FROM people')], [rows, rows])
  })
})

describe('two states of one name', () => {
  const both = async (over: Partial<TwoWaySync> = {}) => {
    const one = new World({ match: [], ...over })
    one.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
    assert.equal((await one.sync()).error, null)
    const other = new World({ match: [], ...over })
    Object.assign(other, { left: one.left, right: one.right, projectId: 'another' })
    return { one, other }
  }

  test('the one that comes back after another has gone on is refused, until it knows the pairs', async () => {
    const { one, other } = await both()
    assert.equal((await other.sync()).error?.code, 'STATE_OLDER')
    await repair(other, ['email'], true)
    other.left.put('contacts', [2, 'Bob', 'bob@x.org', '2'])
    other.right.put('contacts', [3000, 'Cid', 'cid@x.org', '3'])
    assert.equal((await other.sync()).error, null)
    const refused = await one.sync()
    assert.deepEqual([refused.status, refused.error?.code], ['held', 'STATE_OLDER'])
    assert.match(refused.error?.message ?? '', /another project has synced both sides/)
    assert.deepEqual(names(one, 'left'), ['Ann', 'Bob', 'Cid'])
    await repair(one, ['email'], true)
    assert.equal(World.writes(await one.sync()), 0)
    assert.equal(World.writes(await one.sync()), 0)
    // And the other again.
    assert.equal((await other.sync()).error?.code, 'STATE_OLDER')
  })

  test('with a match that every row has, both may go on', async () => {
    const { one, other } = await both({ match: [{ field: 'email', by: null }] })
    for (const world of [other, one, other, one]) {
      world.left.put('contacts', [world.now % 1_000_000, 'New', `${world.now}@x.org`, '1'])
      assert.equal((await world.sync()).error, null)
      assert.deepEqual(world.values('left'), world.values('right'))
    }
  })

  test('a side that two syncs share with sides of their own is nobody’s alone', async () => {
    const { one, other } = await both()
    Object.assign(other, { right: new World().right })
    for (const world of [other, one, other, one]) {
      world.left.put('contacts', [world.now % 1_000_000, 'New', `${world.now}@x.org`, '1'])
      assert.equal((await world.sync()).error, null)
      assert.deepEqual(world.values('left'), world.values('right'))
    }
  })
})

test('a row that is gone is nobody’s counterpart, though it is still known to have no pair', async () => {
  const world = new World({
    match: [{ field: 'email', by: null }],
    onDeleteConflict: 'delete',
    direction: 'left-to-right',
  })
  world.right.put('contacts', [109, 'Old', 'ann@x.org', '1'])
  await world.sync()
  world.right.delete('contacts', [109])
  world.left.put('contacts', [50, 'Ann', 'ann@x.org', '1'])
  const looked = await repair(world, 'match', false)
  assert.deepEqual([looked.found, looked.alone.left.rows], [0, 1])
  assert.deepEqual(await repair(world, 'match', true), looked)
  const run = await world.sync()
  assert.deepEqual([run.inserted, run.deleted], [1, 0])
  assert.deepEqual(names(world, 'left'), ['Ann'])
})

test('many rows that have the same value do not take long, and none is paired', async () => {
  const world = new World({ match: [] })
  const row = (id: number) => [id, `n${id}`, 'same@x.org', null]
  for (const side of ['left', 'right'] as const)
    world[side].put('contacts', ...Array.from({ length: 3000 }, (_, at) => row((side === 'left' ? 1 : 10_001) + at)))
  const { found, alone } = await repair(world, ['email'], false)
  assert.deepEqual([found, alone.left.ambiguous, alone.right.ambiguous], [0, 3000, 3000])
})

test('a repair that ended with some of the pairs does not count', async () => {
  const world = new World({ match: [] })
  world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'], [2, 'Bob', 'bob@x.org', '2'])
  await world.sync()
  const [pair] = await (await world.store.pairs.read('contacts')).after(0, 1)
  assert.ok(pair !== undefined)
  Object.assign(world, { store: openMemoryStore(), projectId: 'another' })
  const [sync] = world.syncs
  assert.ok(sync !== undefined)
  await underLease(sync, world.project, async (lease, project) => {
    await using sides = await openPairSides(sync, project)
    await using run = await world.store.pairs.run('contacts')
    await run.commit(lease, { ...new Changes(sides, '').commit(), insert: [{ ...pair, layout: 0 }] })
  })
  assert.equal((await world.sync()).error?.code, 'STATE_OLDER')
  assert.deepEqual((await repair(world, ['email'], true)).found, 1)
  assert.equal(World.writes(await world.sync()), 0)
})

test('a pair that has lost its row gets the one that took its place', async () => {
  await using folder = await temporaryFolder()
  const world = new World({ match: [], onDeleteConflict: 'keep' }, {}, await openSqliteStore(folder.path))
  world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
  await world.sync()
  await using _store = await restorable(world, folder.path, async () => {
    // Deleted on one side, edited on the other: it comes back with another key.
    world.left.delete('contacts', [1])
    const [row = []] = world.right.rows('contacts')
    world.right.put('contacts', [row[0] ?? null, 'Anna', row[2] ?? null, row[3] ?? null])
    await world.sync()
    assert.notEqual(world.left.rows('contacts')[0]?.[0], 1)
  })
  const looked = await repair(world, ['email'], false)
  assert.deepEqual([looked.known, looked.lost.left, looked.found, looked.alone.left.rows], [1, 1, 1, 0])
  assert.deepEqual(await repair(world, ['email'], true), looked)
  assert.equal(World.writes(await world.sync()), 0)
  assert.deepEqual([names(world, 'left'), names(world, 'right')], [['Anna'], ['Anna']])
})

test('a repair that ends before the state forgets what was agreed is begun again', async () => {
  await using folder = await temporaryFolder()
  const world = new World({ match: [] }, {}, await openSqliteStore(folder.path))
  world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
  await world.sync()
  await using _store = await restorable(world, folder.path, async () => {
    world.left.put('contacts', [2, 'Bob', 'bob@x.org', '2'])
    await world.sync()
  })
  const { pairs } = world.store
  const { reset } = pairs
  pairs.reset = async () => {
    throw new Error('killed')
  }
  await assert.rejects(repair(world, ['email'], true), /killed/)
  pairs.reset = reset
  assert.equal((await world.sync()).error?.code, 'STATE_OLDER')
  const { known, found } = await repair(world, ['email'], true)
  assert.deepEqual([known, found], [2, 0])
  assert.equal(World.writes(await world.sync()), 0)
})
