/** What an undo leaves behind, rows that can have no partner, and columns that both sides make themselves. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { RunRecord } from '../../src/core/run.ts'
import { planTwoWay } from '../../src/engine/two-way/plan.ts'
import { undoRun } from '../../src/engine/two-way/undo.ts'
import { sqliteDatabase } from '../hazards/pair.ts'
import { openTwoWay } from './pair.ts'
import { World } from './world.ts'

async function undo(world: World, run: RunRecord) {
  const [sync] = world.syncs
  assert.ok(sync)
  const { leases, holder } = world.store
  const lease = await leases.take(sync.id, holder, world.now, 60_000)
  const done = await undoRun(run.id, sync, world.project, { lease, id: `undo${world.now}` })
  await leases.free(sync.id, lease)
  return done
}

/** A run wrote a name to the right, somebody changed it there since, and the run was undone. */
async function undone() {
  const world = new World({ onConflict: 'left' })
  for (const side of ['left', 'right'] as const)
    world[side].put('contacts', [1, 'Ann', 'ann@x.org', '1'], [2, 'Bob', 'bob@x.org', '2'])
  await world.sync()
  world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'])
  const run = await world.sync()
  world.right.put('contacts', [1, 'Anne', 'ann@x.org', '1'])
  assert.deepEqual(
    (await undo(world, run)).map(({ status }) => status),
    ['changed'],
  )
  assert.deepEqual(
    (await world.conflicts('open')).map(({ kind }) => kind),
    ['undo'],
  )
  return { world, run }
}

describe('point 63: what an undo left', () => {
  test('is over once both sides agree', async () => {
    const { world } = await undone()
    assert.equal((await world.sync()).error, null)
    assert.deepEqual(world.values('left'), world.values('right'))
    assert.deepEqual(await world.conflicts('open'), [])
    assert.equal((await world.conflicts('agreed')).length, 1)
  })

  test('is over once both rows are gone', async () => {
    const { world } = await undone()
    world.syncs = world.syncs.map((sync) => ({ ...sync, guard: { maxDeletes: 10, maxDeleteShare: 1 } }))
    for (const side of ['left', 'right'] as const) world[side].delete('contacts', [1])
    assert.equal((await world.sync()).error, null)
    assert.deepEqual(await world.conflicts('open'), [])
  })

  test('stays while the sides differ, and is put on record once', async () => {
    const { world, run } = await undone()
    assert.deepEqual(
      (await undo(world, run)).map(({ status }) => status),
      ['changed'],
    )
    assert.equal((await world.conflicts()).filter(({ kind }) => kind === 'undo').length, 1)
  })
})

test('point 63: plan warns of rows with NULL in a field of the match', async () => {
  const world = new World()
  for (const side of ['left', 'right'] as const)
    world[side].put('contacts', [1, 'Ann', 'ann@x.org', '1'], [2, 'Bob', null, '2'])
  const [sync] = world.syncs
  assert.ok(sync)
  const { warnings, left, right } = await planTwoWay(sync, world.project)
  assert.deepEqual([left.inserts, right.inserts], [1, 1])
  assert.match(warnings.join('\n'), /2 rows with NULL in a field of `match` \(email\) pair with no row/)
})

test('point 63: columns that both sides make themselves need no `fields`', async () => {
  const [left, right] = [await sqliteDatabase(), await sqliteDatabase()]
  for (const { sql } of [left, right])
    await sql('CREATE TABLE contacts (id INTEGER PRIMARY KEY, v TEXT, loud TEXT GENERATED ALWAYS AS (upper(v)) STORED)')
  await left.sql("INSERT INTO contacts (id, v) VALUES (1, 'a')")
  await using pair = openTwoWay(left, right)
  assert.equal(await pair.writes(), 1)
  assert.deepEqual(await pair.read('right', 'SELECT v, loud FROM contacts'), [['a', 'A']])
  assert.equal((await pair.verify()).equal, true)
})
