/** A side that is another database under the same names, or one restored from a backup. */
import assert from 'node:assert/strict'
import { copyFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { MemorySystem } from '../../src/connectors/memory-system.ts'
import { SyncError } from '../../src/core/error.ts'
import type { SideName, TwoWaySync } from '../../src/core/two-way.ts'
import { sideNames } from '../../src/core/two-way.ts'
import { resetSync } from '../../src/engine/runs/run-sync.ts'
import { planTwoWay } from '../../src/engine/two-way/plan.ts'
import { undoRun } from '../../src/engine/two-way/undo.ts'
import { openSqliteStore } from '../../src/store/sqlite/store.ts'
import { temporaryFolder } from '../../tools/database.ts'
import { World } from './world.ts'

const people = Array.from({ length: 8 }, (_, at) => [at + 1, `n${at}`, `${at}@x.org`, '1'] as const)

async function paired(over: Partial<TwoWaySync> = {}): Promise<World> {
  const world = new World(over)
  world.left.put('contacts', ...people)
  assert.equal((await world.sync()).status, 'succeeded')
  return world
}

/** All that a system holds, to be put back later. */
function backup(system: MemorySystem): () => void {
  const { tables, fences, results, seq } = system
  return () => Object.assign(system, { tables, fences, results, seq })
}

const firstOf = (world: World): TwoWaySync => {
  const [sync] = world.syncs
  assert.ok(sync !== undefined)
  return sync
}

async function stops(world: World, side: SideName): Promise<void> {
  const before = sideNames.map((name) => world[name].rows('contacts'))
  for (let run = 0; run < 3; run++) {
    const { status, error } = await world.sync()
    assert.deepEqual([status, error?.code], ['held', 'SIDE_REPLACED'])
    assert.match(error?.message ?? '', new RegExp(`the ${side} side`))
    assert.match(error?.hint ?? '', /syncline plan contacts.*syncline reset contacts --keep-pairs/)
  }
  assert.deepEqual(
    sideNames.map((name) => world[name].rows('contacts')),
    before,
  )
  const { warnings } = await planTwoWay(firstOf(world), world.project)
  assert.match(warnings.join('\n'), new RegExp(`the ${side} side`))
}

for (const side of sideNames)
  describe(`the ${side} side`, () => {
    for (const [what, rows] of [
      ['empty', []],
      [
        'with rows of its own',
        people.slice(0, 5).map(([id, name, email]) => [id, `other ${name}`, email, '9'] as const),
      ],
    ] as const)
      test(`is another database, ${what}: every run stops before anything is written`, async () => {
        const world = await paired()
        Object.assign(world[side], { fences: new Map(), results: new Map() })
        world[side].delete('contacts', ...world[side].rows('contacts').map(([id]) => [id ?? null]))
        world[side].put('contacts', ...rows)
        await stops(world, side)
      })

    test('was restored from a backup: runs stop, and with the pairs kept nothing is lost and nothing deleted', async () => {
      const world = await paired({ match: [] })
      const other = side === 'left' ? 'right' : 'left'
      const restore = backup(world[side])
      // Since the backup: an edit on either side, a row made on the other, and one deleted on both.
      const rows = { left: world.left.rows('contacts'), right: world.right.rows('contacts') }
      const edit = (name: SideName, at: number, text: string) => {
        const row = rows[name][at] ?? []
        world[name].put('contacts', [row[0] ?? null, text, row[2] ?? null, row[3] ?? null])
      }
      edit(side, 0, 'edited here')
      edit(other, 1, 'edited there')
      world[other].put('contacts', [77, 'new there', 'new@x.org', '7'])
      assert.equal((await world.sync()).status, 'succeeded')
      restore()
      edit(side, 2, 'edited after the restore')
      await stops(world, side)
      await resetSync(firstOf(world), world.project, { drop: false, keepPairs: true })
      assert.equal((await world.sync()).error, null)
      const names = world.values(other).map(([name]) => name)
      assert.equal(names.length, 9)
      const records = JSON.stringify(await world.conflicts())
      for (const text of ['edited here', 'edited there', 'n0', 'n1'])
        assert.ok(records.includes(text), `${text} is neither there nor on record`)
      assert.ok(world.values(side).some(([name]) => name === 'new there'))
      assert.ok(!records.includes('n5'), 'what is equal on both sides is no conflict')
      assert.equal(World.writes(await world.sync()), 0)
    })
  })

test('undo stops, too', async () => {
  const world = await paired()
  const [run] = await world.store.runs.list({ limit: 1 })
  Object.assign(world.right, { fences: new Map() })
  await assert.rejects(
    undoRun(run?.id ?? '', firstOf(world), world.project, { lease: 1, id: 'u' }),
    /is another database/,
  )
})

test('a run that died while it took the fences, however often, does not make its state look older than the sides', async () => {
  const world = await paired()
  for (let death = 0; death < 3; death++) {
    world.left.put('contacts', [1, `Anna ${death}`, '0@x.org', '1'])
    // The left is taken, and the right does not answer.
    world.right.fault = (operation) => {
      if (operation === 'claimWriter') throw new Error('killed')
    }
    assert.equal((await world.sync()).status, 'failed')
    world.right.fault = () => {}
  }
  assert.equal((await world.sync()).error, null)
  assert.equal(world.right.rows('contacts')[0]?.[1], 'Anna 2')
})

describe('point 48: a state that is older than its sides (hazard 42)', () => {
  const open = (folder: string) => openSqliteStore(folder)
  /** The state as it was before the work, under the world again. */
  const putBackAfter = async (world: World, folder: string, work: () => Promise<void>) => {
    const state = join(folder, '.syncline', 'state.db')
    await copyFile(state, `${state}.backup`)
    const later = await open(folder)
    Object.assign(world, { store: later })
    await work()
    await later[Symbol.asyncDispose]()
    await copyFile(`${state}.backup`, state)
    await rm(`${state}-wal`, { force: true })
    const restored = await open(folder)
    Object.assign(world, { store: restored })
    return restored
  }
  const older = async (world: World) => {
    const before = sideNames.map((name) => world[name].rows('contacts'))
    for (let run = 0; run < 2; run++) {
      const { status, error } = await world.sync()
      assert.deepEqual([status, error?.code], ['held', 'STATE_OLDER'])
    }
    assert.match((await planTwoWay(firstOf(world), world.project)).warnings.join(), /a run would stop: /)
    assert.deepEqual(
      sideNames.map((name) => world[name].rows('contacts')),
      before,
    )
  }

  test('claims that failed before the last that went through hide nothing', async () => {
    await using folder = await temporaryFolder()
    const store = await open(folder.path)
    const world = new World({ match: [{ field: 'email', by: null }] }, {}, store)
    world.left.put('contacts', ...people)
    world.right.fault = (operation) => {
      if (operation === 'claimWriter') throw new SyncError('GRANT_MISSING', 'no right to make a table')
    }
    for (let run = 0; run < 3; run++) assert.equal((await world.sync()).status, 'failed')
    world.right.fault = () => {}
    assert.equal((await world.sync()).error, null)
    await store[Symbol.asyncDispose]()
    await using _restored = await putBackAfter(world, folder.path, async () => {
      world.left.put('contacts', [1, 'Anna', '0@x.org', '1'])
      assert.equal((await world.sync()).updated, 1)
    })
    await older(world)
  })

  for (const match of [[], [{ field: 'email', by: null }]])
    test(`restored from a backup, ${match.length === 0 ? 'without' : 'with'} a match: nothing is written until a person says how to go on`, async () => {
      await using folder = await temporaryFolder()
      const store = await open(folder.path)
      const world = new World({ match }, {}, store)
      world.left.put('contacts', ...people)
      assert.equal((await world.sync()).error, null)
      await store[Symbol.asyncDispose]()
      await using _restored = await putBackAfter(world, folder.path, async () => {
        world.left.put('contacts', [20, 'new', 'new@x.org', '1'])
        assert.equal((await world.sync()).inserted, 1)
      })
      await older(world)
      await resetSync(firstOf(world), world.project, { drop: false, keepPairs: true })
      const record = await world.sync()
      assert.equal(record.error, null)
      if (match.length > 0) assert.equal(world.right.rows('contacts').length, people.length + 1)
    })

  test('emptied: without a match nothing is written; with one the rows are paired anew', async () => {
    await using folder = await temporaryFolder()
    const store = await open(folder.path)
    const world = new World({ match: [] }, {}, store)
    world.projectId = await store.projectId()
    world.left.put('contacts', ...people)
    assert.equal((await world.sync()).error, null)
    await store[Symbol.asyncDispose]()
    for (const file of ['state.db', 'state.db-wal', 'state.db-shm'])
      await rm(join(folder.path, '.syncline', file), { force: true })
    await writeFile(join(folder.path, '.syncline', 'state.db'), '')
    await using emptied = await open(folder.path)
    Object.assign(world, { store: emptied, projectId: await emptied.projectId() })
    await older(world)
    world.syncs = world.syncs.map((sync) => ({ ...sync, match: [{ field: 'email', by: null }] }))
    const record = await world.sync()
    assert.deepEqual([record.error, World.writes(record)], [null, 0])
    assert.equal(world.right.rows('contacts').length, people.length)
  })
})

test('what was claimed is known before anything is written, so that a run killed later does not hide a restore', async () => {
  const world = await paired()
  const restore = backup(world.right)
  world.left.put('contacts', [1, 'Anna', '0@x.org', '1'])
  world.right.fault = (operation) => {
    if (operation === 'written') throw new Error('killed')
  }
  assert.equal((await world.sync()).status, 'failed')
  world.right.fault = () => {}
  restore()
  assert.equal((await world.sync()).error?.code, 'SIDE_REPLACED')
})

for (const side of sideNames)
  test(`a backup of the ${side} side that was made within a run is older than what its pairs were made with, too`, async () => {
    const world = await paired()
    let restore = () => {}
    world[side].fault = (operation) => {
      if (operation === 'write') restore = backup(world[side])
    }
    const other = side === 'left' ? 'right' : 'left'
    world[other].put('contacts', [50, 'new', '50@x.org', '1'])
    assert.equal((await world.sync()).inserted, 1)
    world[side].fault = () => {}
    restore()
    await stops(world, side)
  })
