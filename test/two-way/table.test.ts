/** The reconcile table as stories, one for each row and each rule. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { RunRecord } from '../../src/core/run.ts'
import { ask } from '../../src/core/two-way.ts'
import { field, World } from './world.ts'

const ann = [1, 'Ann', 'ann@x.org', '1'] as const
const bob = [2, 'Bob', 'bob@x.org', '2'] as const

/** Ann on both sides, paired: key 1 on the left, 51 on the right. */
async function paired(over: ConstructorParameters<typeof World>[0] = {}): Promise<World> {
  const world = new World(over)
  world.left.put('contacts', ann)
  world.right.put('contacts', [51, ...ann.slice(1)])
  await succeeds(world)
  return world
}

async function succeeds(world: World): Promise<RunRecord> {
  const record = await world.sync()
  assert.equal(record.error, null)
  assert.equal(record.status, 'succeeded')
  return record
}

/** The sides are equal, and further runs write nothing. */
async function settled(world: World): Promise<void> {
  assert.deepEqual(world.values('left'), world.values('right'))
  for (let i = 0; i < 2; i++) assert.equal(World.writes(await succeeds(world)), 0)
}

describe('rows that meet', () => {
  test('created on one side: inserted on the other, with its assigned key', async () => {
    const world = new World()
    world.left.put('contacts', ann, bob)
    const record = await succeeds(world)
    assert.equal(record.inserted, 2)
    assert.deepEqual(
      world.right.rows('contacts').map(([id]) => id),
      [2001, 2002],
    )
    await settled(world)
  })

  test('created on both sides with the same match: paired, nothing written', async () => {
    const world = await paired()
    assert.equal(world.left.rows('contacts').length, 1)
    await settled(world)
  })

  test('created on both sides, differing: the rule decides', async () => {
    for (const [rule, name] of [
      ['left', 'Ann'],
      ['right', 'Anna'],
    ] as const) {
      const world = new World({ onConflict: rule })
      world.left.put('contacts', ann)
      world.right.put('contacts', [51, 'Anna', 'ann@x.org', '1'])
      await succeeds(world)
      assert.equal(world.values('left')[0]?.[0], name)
      assert.equal((await world.conflicts('resolved')).length, 1)
      await settled(world)
    }
  })

  test('a match that is not unique is a conflict, never a guess, and goes on once it is unique', async () => {
    const world = new World()
    world.left.put('contacts', ann, [3, 'Ann 2', 'ann@x.org', '3'])
    world.right.put('contacts', [51, 'Ann', 'ann@x.org', '1'])
    const record = await succeeds(world)
    assert.equal(World.writes(record), 0)
    assert.equal((await world.conflicts('open')).length, 1)
    await succeeds(world)
    assert.equal((await world.conflicts('open')).length, 1)
    world.left.delete('contacts', [3])
    await succeeds(world)
    assert.equal((await world.conflicts('open')).length, 0)
    await settled(world)
  })

  test('matched by what values mean', async () => {
    const world = new World({
      match: [{ field: 'email', by: (value) => String(value).toLowerCase() }],
      onConflict: 'left',
    })
    world.left.put('contacts', ann)
    world.right.put('contacts', [51, 'Ann', 'ANN@X.org', '1'])
    await succeeds(world)
    assert.equal(world.right.rows('contacts').length, 1)
    await settled(world)
  })
})

describe('rows of a pair', () => {
  test('updated, unchanged: the changed fields are patched', async () => {
    const world = await paired()
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'])
    assert.equal((await succeeds(world)).updated, 1)
    assert.deepEqual(world.right.rows('contacts'), [[51, 'Anna', 'ann@x.org', '1']])
    world.right.put('contacts', [51, 'Anna', 'ann@x.org', '9'])
    assert.equal((await succeeds(world)).updated, 1)
    assert.deepEqual(world.left.rows('contacts'), [[1, 'Anna', 'ann@x.org', '9']])
    await settled(world)
  })

  test('updated on both sides in other fields: both are patched, no conflict', async () => {
    const world = await paired()
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'])
    world.right.put('contacts', [51, 'Ann', 'ann@x.org', '7'])
    await succeeds(world)
    assert.deepEqual(world.values('left'), [['Anna', 'ann@x.org', '7']])
    assert.equal((await world.conflicts()).length, 0)
    await settled(world)
  })

  test('updated on both sides to the same: only the base moves', async () => {
    const world = await paired()
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'])
    world.right.put('contacts', [51, 'Anna', 'ann@x.org', '1'])
    assert.equal(World.writes(await succeeds(world)), 0)
    world.left.put('contacts', ann)
    assert.equal((await succeeds(world)).updated, 1)
    await settled(world)
  })

  test('the same field differently: the rule decides, and the loser is on record', async () => {
    const rules = [
      ['left', 'L'],
      ['right', 'R'],
      [(_base: unknown, left: unknown, right: unknown) => `${left}+${right}`, 'L+R'],
    ] as const
    for (const [onConflict, winner] of rules) {
      const world = await paired({ onConflict })
      world.left.put('contacts', [1, 'L', 'ann@x.org', '1'])
      world.right.put('contacts', [51, 'R', 'ann@x.org', '1'])
      await succeeds(world)
      assert.deepEqual(world.values('left'), [[winner, 'ann@x.org', '1']])
      const [conflict] = await world.conflicts('resolved')
      assert.match(conflict?.fields.name?.values ?? '', /"Ann","L","R"/)
      await settled(world)
    }
  })

  test('newest: the later stamp wins', async () => {
    const world = await paired({
      onConflict: 'newest',
      stamp: { left: { field: 'phone', as: null }, right: { field: 'phone', as: null } },
      fields: [field('name'), field('email')],
    })
    world.left.put('contacts', [1, 'L', 'ann@x.org', '2026-01-01'])
    world.right.put('contacts', [51, 'R', 'ann@x.org', '2026-01-02'])
    await succeeds(world)
    assert.equal(world.left.rows('contacts')[0]?.[1], 'R')
  })

  test('ask: the field freezes, the rest goes on, until a person resolves it', async () => {
    for (const onConflict of ['ask', () => ask] as const) {
      const world = await paired({ onConflict })
      world.left.put('contacts', [1, 'L', 'ann@x.org', '5'])
      world.right.put('contacts', [51, 'R', 'ann@x.org', '1'])
      await succeeds(world)
      assert.deepEqual(world.values('left'), [['L', 'ann@x.org', '5']])
      assert.deepEqual(world.values('right'), [['R', 'ann@x.org', '5']])
      const [conflict] = await world.conflicts('open')
      assert.deepEqual(Object.keys(conflict?.fields ?? {}), ['name'])
      assert.equal(World.writes(await succeeds(world)), 0)
      assert.equal((await world.conflicts('open')).length, 1)
      const name = conflict?.fields.name
      assert.ok(conflict !== undefined && name !== undefined)
      await world.store.pairs.conflicts.decide(
        conflict.id,
        { name: { ...name, status: 'decided', take: { side: 'right' } } },
        'decided',
      )
      await succeeds(world)
      assert.deepEqual(world.values('left'), [['R', 'ann@x.org', '5']])
      assert.equal((await world.conflicts('open')).length, 0)
      assert.equal((await world.conflicts('resolved')).length, 1)
      await settled(world)
    }
  })

  test('an open conflict is over when the sides agree by themselves', async () => {
    const world = await paired()
    world.left.put('contacts', [1, 'L', 'ann@x.org', '1'])
    world.right.put('contacts', [51, 'R', 'ann@x.org', '1'])
    await succeeds(world)
    world.left.put('contacts', [1, 'R', 'ann@x.org', '1'])
    await succeeds(world)
    assert.equal((await world.conflicts('agreed')).length, 1)
    await settled(world)
  })

  test('deleted, unchanged: the other is deleted', async () => {
    const world = await paired()
    world.left.put('contacts', bob)
    await succeeds(world)
    world.left.delete('contacts', [1])
    assert.equal((await succeeds(world)).deleted, 1)
    assert.deepEqual(world.values('right'), [['Bob', 'bob@x.org', '2']])
    await settled(world)
  })

  test('deleted, updated: keep inserts it again as a recorded decision', async () => {
    const world = await paired()
    world.left.put('contacts', bob)
    await succeeds(world)
    world.left.delete('contacts', [1])
    world.right.put('contacts', [51, 'Anna', 'ann@x.org', '1'])
    assert.equal((await succeeds(world)).inserted, 1)
    assert.equal((await world.conflicts('resolved')).length, 1)
    assert.equal(world.left.rows('contacts').length, 2)
    await settled(world)
  })

  test('deleted, updated: delete deletes, and the image is kept', async () => {
    const world = await paired({ onDeleteConflict: 'delete' })
    world.left.put('contacts', bob)
    await succeeds(world)
    world.right.delete('contacts', [51])
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'])
    assert.equal((await succeeds(world)).deleted, 1)
    assert.match((await world.conflicts('resolved'))[0]?.fields.name?.values ?? '', /Anna/)
    await settled(world)
  })

  test('deleted, updated: ask leaves both as they are', async () => {
    const world = await paired({ onDeleteConflict: 'ask' })
    world.left.put('contacts', bob)
    await succeeds(world)
    world.right.delete('contacts', [51])
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'])
    assert.equal(World.writes(await succeeds(world)), 0)
    assert.equal((await world.conflicts('open')).length, 1)
    assert.equal(World.writes(await succeeds(world)), 0)
  })

  test('deleted on both sides: the pair is closed', async () => {
    const world = await paired()
    world.left.put('contacts', bob)
    await succeeds(world)
    world.left.delete('contacts', [1])
    world.right.delete('contacts', [51])
    assert.equal(World.writes(await succeeds(world)), 0)
    await settled(world)
  })

  test('deletes: keep leaves the other row alone for good', async () => {
    const world = await paired({ deletes: 'keep' })
    world.left.delete('contacts', [1])
    assert.equal(World.writes(await succeeds(world)), 0)
    world.right.put('contacts', [51, 'Anna', 'ann@x.org', '1'])
    assert.equal(World.writes(await succeeds(world)), 0)
    assert.equal(world.left.rows('contacts').length, 0)
  })
})

test('nobody is asked about a spelling that the match takes for the same', async () => {
  const world = new World({ match: [{ field: 'email', by: (value) => String(value).toLowerCase() }] })
  world.left.put('contacts', ann)
  world.right.put('contacts', [51, 'Ann', 'ANN@X.org', '1'])
  assert.equal(World.writes(await succeeds(world)), 0)
  assert.equal((await world.conflicts()).length, 0)
})

describe('a key that is used again', () => {
  test('is another row: the old one goes, the new one comes', async () => {
    const world = await paired({ match: [] })
    world.left.put('contacts', bob)
    await succeeds(world)
    world.left.delete('contacts', [2])
    world.left.put('contacts', [2, 'Zoe', 'zoe@x.org', '7'])
    const record = await succeeds(world)
    assert.deepEqual([record.inserted, record.updated, record.deleted], [1, 0, 1])
    await settled(world)
  })

  test('is the same row where the match says so', async () => {
    const world = await paired()
    world.left.delete('contacts', [1])
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'])
    const record = await succeeds(world)
    assert.deepEqual([record.inserted, record.updated, record.deleted], [0, 1, 0])
    await settled(world)
  })
})

test('a key used again by a row that this sync inserted, in a run that was cut off, is no other row', async () => {
  const world = new World({ match: [], guard: { maxDeletes: 100, maxDeleteShare: 1 } })
  world.left.put('contacts', ann, bob)
  await succeeds(world)
  world.left.delete('contacts', [2])
  await succeeds(world)
  // The right side gives the freed key to the next row, and the run that inserts it does not come to its end.
  world.right.assigned = 2001
  world.left.put('contacts', [3, 'Cid', 'cid@x.org', '3'])
  const { pairs } = world.store
  const open = pairs.run.bind(pairs)
  pairs.run = async (...args) =>
    Object.assign(await open(...args), { finish: async () => Promise.reject(new Error('cut off')) })
  assert.equal((await world.sync()).status, 'failed')
  pairs.run = open
  world.right.put('contacts', [2002, 'Cyd', 'cid@x.org', '3'])
  await succeeds(world)
  assert.deepEqual(
    world.left.rows('contacts').map(([id, name]) => [id, name]),
    [
      [1, 'Ann'],
      [3, 'Cyd'],
    ],
  )
  await settled(world)
})
