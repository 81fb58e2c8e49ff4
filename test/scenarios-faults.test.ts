/**
 * A run that fails at any of its operations, and the run after it. What is thrown stands for a process that dies there: all
 * that it had not committed is gone, and what it had committed stays, whether it learned of it or not.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { MemoryOperation, MemorySystem } from '../src/connectors/memory-system.ts'
import { SyncError } from '../src/core/error.ts'
import type { Sync } from '../src/core/sync.ts'
import type { Row } from '../src/core/value.ts'
import { runSync } from '../src/engine/runs/run-sync.ts'
import { openSqliteStore } from '../src/store/sqlite/store.ts'
import { temporaryFolder } from '../tools/database.ts'
import { assertRun, openWorld, someOrders, type World } from './scenarios/world.ts'

interface Story {
  readonly name: string
  readonly sync: Partial<Sync>
  /** Brings the world to where the run begins that is disturbed. */
  readonly before: (world: World) => Promise<void>
  /** Times that the target is written a row, whatever happens. */
  readonly writes: number
}

const small = { batch: { rows: 3, bytes: 1e9 } }

const stories: readonly Story[] = [
  {
    name: 'the first copy',
    sync: small,
    before: async (world) => world.put(...someOrders(10)),
    writes: 10,
  },
  {
    name: 'following inserts, updates and deletes',
    sync: small,
    before: async (world) => {
      world.put(...someOrders(10))
      await world.run(small)
      world.put(...someOrders(7).map(([id]): Row => [id!, 'paid', null]), [20, 'new', null])
      world.delete(8, 9)
    },
    writes: 20,
  },
  {
    name: 'comparing in full',
    sync: { ...small, mode: 'full' },
    before: async (world) => {
      world.put(...someOrders(10))
      await world.run(small)
      world.put([1, 'paid', null], [2, 'paid', null], [20, 'new', null])
      world.delete(9)
      world.right.delete('orders', [5])
    },
    writes: 16,
  },
  {
    name: 'a released deletion',
    sync: small,
    before: async (world) => {
      world.put(...someOrders(30))
      await world.run(small)
      world.delete(...Array.from({ length: 20 }, (_, at) => at + 1))
      await world.release(await world.run(small))
    },
    writes: 50,
  },
]

/** Throws at the operation of this number, counted over both sides; returns what was called. */
function disturb(world: World, at: number, error: () => Error): MemoryOperation[] {
  const called: MemoryOperation[] = []
  const fault: MemorySystem['fault'] = (operation) => {
    if (called.push(operation) - 1 === at) throw error()
  }
  world.left.fault = fault
  world.right.fault = fault
  return called
}

function leaveAlone(world: World): void {
  world.left.fault = () => {}
  world.right.fault = () => {}
}

async function begin(story: Story): Promise<World> {
  const world = await openWorld()
  world.left.pageRows = 2
  world.right.pageRows = 2
  world.sync = { ...world.sync, ...story.sync }
  await story.before(world)
  return world
}

async function operationsOf(story: Story): Promise<readonly MemoryOperation[]> {
  await using world = await begin(story)
  const called = disturb(world, -1, () => new Error())
  assert.equal((await world.run()).status, 'succeeded')
  return called
}

/** Both sides equal, every row written once, and nothing left to do. */
async function assertSettled(world: World, story: Story): Promise<void> {
  leaveAlone(world)
  assert.deepEqual(world.target, world.left.rows('orders'))
  assert.equal(world.writes, story.writes)
  assertRun(await world.run(), {})
  assert.ok((await world.verify()).equal)
}

describe('a run that dies', () => {
  for (const story of stories) {
    test(`at any operation of ${story.name} is made good by the next: equal, and nothing written twice`, async (t) => {
      for (const [at, operation] of (await operationsOf(story)).entries()) {
        await t.test(`${operation}, which is operation ${at}`, async () => {
          await using world = await begin(story)
          disturb(world, at, () => new Error('the process died here'))
          const died = await world.run()
          assert.equal(died.status, 'failed')
          leaveAlone(world)
          const next = await world.run()
          assert.equal(next.status, 'succeeded', next.error?.message)
          await assertSettled(world, story)
        })
      }
    })
  }
})

describe('a run whose connection is lost', () => {
  const lost = () => new SyncError('CONNECTION_LOST', 'the server went away')

  for (const story of stories) {
    test(`at any operation of ${story.name} tries again and gets to its end`, async (t) => {
      for (const [at, operation] of (await operationsOf(story)).entries()) {
        await t.test(`${operation}, which is operation ${at}`, async () => {
          await using world = await begin(story)
          disturb(world, at, lost)
          const run = await world.run()
          assert.equal(run.status, 'succeeded', run.error?.message)
          assert.equal(world.clock.waits.length, 1)
          await assertSettled(world, story)
        })
      }
    })
  }
})

describe('a run that fails', () => {
  async function failing(error: () => Error, times = Infinity): Promise<World> {
    const world = await openWorld()
    world.put(...someOrders(3))
    let left = times
    world.left.fault = (operation) => {
      if (operation === 'read' && left-- > 0) throw error()
    }
    return world
  }

  test('for a reason that may pass is tried again after waits that double, then fails and can go on later', async () => {
    await using world = await failing(() => new SyncError('CONNECTION_REFUSED', 'nobody there'))
    assertRun(await world.run(), { status: 'failed', code: 'CONNECTION_REFUSED' })
    assert.deepEqual(world.clock.waits, [500, 1000, 2000, 4000])
    const told = world.events.flatMap((event) =>
      event.event === 'run.retrying' ? [[event.attempt, event.waitMs, event.error.code]] : [],
    )
    assert.deepEqual(
      told.map(([attempt]) => attempt),
      [1, 2, 3, 4],
    )
    leaveAlone(world)
    assertRun(await world.run(), { inserted: 3 })
  })

  test('because nobody answers is tried once by later runs, until one gets through', async () => {
    await using world = await failing(() => new SyncError('CONNECTION_REFUSED', 'nobody there'))
    await world.run()
    world.clock.waits.length = 0
    const other = { id: 'other', to: { connection: 'right', collection: 'other' } }
    assertRun(await world.run(other), { status: 'failed', code: 'CONNECTION_REFUSED' })
    assert.deepEqual(world.clock.waits, [])
    const { fault } = world.left
    leaveAlone(world)
    assertRun(await world.run(other), { inserted: 3 })
    world.left.fault = fault
    await world.run()
    assert.equal(world.clock.waits.length, 4)
  })

  test('because nobody answers leaves later runs their patience for other reasons', async () => {
    await using world = await failing(() => new SyncError('CONNECTION_REFUSED', 'nobody there'), 5)
    await world.run()
    let lost = 1
    world.left.fault = () => {
      if (lost-- > 0) throw new SyncError('CONNECTION_LOST', 'gone')
    }
    assertRun(await world.run(), { inserted: 3 })
  })

  test('twice for such a reason succeeds at the third time', async () => {
    await using world = await failing(() => new SyncError('DATABASE_LOCKED', 'busy'), 2)
    assertRun(await world.run(), { inserted: 3 })
    assert.deepEqual(world.clock.waits, [500, 1000])
  })

  for (const code of ['AUTH_FAILED', 'GRANT_MISSING', 'DISK_FULL', 'LEASE_LOST'] as const) {
    test(`for a reason that stays (${code}) is not tried again`, async () => {
      await using world = await failing(() => new SyncError(code, 'no'))
      assertRun(await world.run(), { status: 'failed', code })
      assert.deepEqual(world.clock.waits, [])
    })
  }

  test('for a reason that nobody foresaw says INTERNAL, and the log has the stack', async () => {
    await using world = await failing(() => new TypeError('undefined is not a function'))
    assertRun(await world.run(), { status: 'failed', code: 'INTERNAL' })
    assert.match(world.logged.join(), /TypeError: undefined is not a function\n {4}at /)
  })

  test('while somebody interrupts it does not wait and try again', async () => {
    await using world = await failing(() => new SyncError('CONNECTION_LOST', 'gone'))
    world.interrupt.abort()
    assertRun(await world.run(), { status: 'failed', code: 'CONNECTION_LOST' })
    assert.deepEqual(world.clock.waits, [])
  })

  test('is told as one, with its counts, as the last event', async () => {
    await using world = await failing(() => new SyncError('AUTH_FAILED', 'no'))
    await world.run()
    assert.deepEqual(world.events.at(0)?.event, 'run.started')
    const last = world.events.at(-1)
    assert.ok(last?.event === 'run.finished')
    assert.deepEqual([last.status, last.error?.code, last.inserted], ['failed', 'AUTH_FAILED', 0])
  })
})

describe('an interrupted run', () => {
  test('commits what it has read, and the next goes on from there', async () => {
    await using world = await begin(stories[0]!)
    let pages = 0
    world.left.fault = (operation) => {
      if (operation === 'read' && ++pages === 3) world.interrupt.abort()
    }
    const run = await world.run()
    assert.deepEqual([run.status, run.error?.code], ['interrupted', 'INTERRUPTED'])
    assert.ok(run.inserted > 0 && run.inserted < 10)
    assert.equal(world.writes, run.inserted)
    leaveAlone(world)
    const { signal } = new AbortController()
    world.project = { ...world.project, context: { ...world.project.context, signal } }
    assertRun(await world.run(), { inserted: 10 - run.inserted })
    await assertSettled(world, stories[0]!)
  })
})

describe('two workers on one sync', () => {
  test('the one that was overtaken writes nothing more (hazard 24)', async () => {
    await using world = await begin(stories[0]!)
    let overtaken = false
    world.right.fault = async (operation) => {
      if (operation !== 'commit' || overtaken) return
      overtaken = true
      // The other one takes the target over while this one stands before its first commit.
      assertRun(await world.run(), { inserted: 10 })
    }
    assertRun(await world.run(), { status: 'failed', code: 'LEASE_LOST' })
    await assertSettled(world, stories[0]!)
  })

  for (const { name, successor } of [
    { name: 'from this project', successor: async (world: World) => world.run() },
    {
      name: 'from a copy of its state',
      successor: async (world: World) => {
        await using folder = await temporaryFolder()
        await using store = await openSqliteStore(folder.path)
        return await runSync(world.sync, { ...world.project, store })
      },
    },
  ]) {
    test(`the one that lost its connection when it was overtaken ${name} does not take over in turn (hazard 24)`, async () => {
      await using world = await begin(stories[0]!)
      let overtaken = false
      world.right.fault = async (operation) => {
        if (operation !== 'commit' || overtaken) return
        overtaken = true
        assertRun(await successor(world), { inserted: 10 })
        world.put([11, 'new', null])
        throw new SyncError('CONNECTION_LOST', 'the successor ended this session')
      }
      assertRun(await world.run(), { status: 'failed', code: 'LEASE_LOST' })
      assert.equal(world.writes, 10)
      await world.run()
      await assertSettled(world, { ...stories[0]!, writes: 11 })
    })
  }
})
