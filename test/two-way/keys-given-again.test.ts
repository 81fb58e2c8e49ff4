/** A side that gives the key of a row, deleted after it was read, to the next row that it is asked to insert (SQLite does). */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { TwoWaySync } from '../../src/core/two-way.ts'
import { World } from './world.ts'

const bob = ['Bob', 'bob@x.org', '2'] as const
const zoe = ['Zoe', 'zoe@x.org', '9'] as const

/** What Bob is, on the left with key 2, in the run that inserts Zoe there. */
const roles: Readonly<Record<string, (world: World) => Promise<void>>> = {
  'to be inserted on the other side': async (world) => world.left.put('contacts', [2, ...bob]),
  'to be paired with a row that is alike': async (world) => {
    world.left.put('contacts', [2, ...bob])
    world.right.put('contacts', [52, ...bob])
  },
  'to be paired with a row that is not': async (world) => {
    world.left.put('contacts', [2, 'Rob', ...bob.slice(1)])
    world.right.put('contacts', [52, ...bob])
  },
  'edited, and to be updated on the other side': async (world) => {
    world.left.put('contacts', [2, 'Rob', ...bob.slice(1)])
    assert.equal((await world.sync()).status, 'succeeded')
    world.left.put('contacts', [2, ...bob])
  },
  'one of two that match a row': async (world) => {
    world.left.put('contacts', [2, ...bob], [3, ...bob])
    world.right.put('contacts', [52, ...bob])
  },
}

/** Where the right side's Bob is somebody whom the left has not agreed with. */
const mayStay = {
  'to be paired with a row that is not': true,
  'one of two that match a row': true,
}

/** Bob's row is deleted between the run's reading and its first write, and Zoe's gets his key. */
function keyIsGivenAgain(world: World): void {
  world.left.fault = (operation) => {
    if (operation !== 'write' || !world.left.rows('contacts').some(([id]) => id === 2)) return
    world.left.delete('contacts', [2])
    world.left.assigned = 1
  }
}

const ends: Readonly<Record<string, (world: World) => Promise<void>>> = {
  'in one run': async (world) => {
    assert.equal((await world.sync()).error, null)
  },
  'recovered after a crash': async (world) => {
    const { pairs } = world.store
    const open = pairs.run.bind(pairs)
    pairs.run = async (...args) => {
      const run = await open(...args)
      const commit = run.commit.bind(run)
      return Object.assign(run, {
        commit: async (...of: Parameters<typeof commit>) =>
          of[1].carried.length > 0 ? Promise.reject(new Error('killed')) : await commit(...of),
      })
    }
    assert.equal((await world.sync()).status, 'failed')
    pairs.run = open
  },
}

const options: Partial<TwoWaySync> = { guard: { maxDeletes: 100, maxDeleteShare: 1 } }

for (const [how, end] of Object.entries(ends))
  describe(`a key that is given again while it is written, ${how}`, () => {
    for (const [what, play] of Object.entries(roles))
      test(`its first row was ${what}: each pair has its own row, and both sides agree`, async () => {
        const world = new World(options)
        await play(world)
        world.right.put('contacts', [59, ...zoe])
        keyIsGivenAgain(world)
        await end(world)
        world.left.fault = () => {}
        assert.deepEqual(
          world.left
            .rows('contacts')
            .find(([id]) => id === 2)
            ?.slice(1),
          zoe,
        )
        for (let run = 0; run < 2; run++) assert.equal((await world.sync()).error, null)
        assert.deepEqual(world.values('left'), world.values('right'))
        // Whoever was the same on both sides, or on the left only, is deleted; what was not is kept, and on record.
        const kept = world.values('left').filter(([name]) => name !== 'Zoe')
        assert.ok(kept.length === 0 || what in mayStay, JSON.stringify(kept))
        assert.equal(world.values('left').length, kept.length + 1)
        assert.equal(World.writes(await world.sync()), 0)
      })
  })

test("a key that is given to two rows of one batch is the last one's", async () => {
  const world = new World(options)
  world.right.put('contacts', [58, ...bob], [59, ...zoe])
  world.left.fault = (operation) => {
    if (operation !== 'write') return
    world.left.delete('contacts', [2])
    world.left.assigned = 1
  }
  assert.equal((await world.sync()).error, null)
  world.left.fault = () => {}
  assert.deepEqual(world.left.rows('contacts'), [[2, ...zoe]])
  assert.equal((await world.sync()).error, null)
  // Bob was deleted on the left, after he was inserted there.
  for (const side of ['left', 'right'] as const) assert.deepEqual(world.values(side), [zoe])
  assert.equal(World.writes(await world.sync()), 0)
})
