import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { MemoryOperation } from '../src/connectors/memory-system.ts'
import { asSyncError, SyncError } from '../src/core/error.ts'
import { runSync } from '../src/engine/runs/run-sync.ts'
import { TimeLimit } from '../src/engine/runs/time-limit.ts'
import { ManualClock, settle } from '../src/testing/manual-clock.ts'
import { assertRun, inWorld, someOrders, type World } from './scenarios/world.ts'

/** A run that hangs in an operation of the target until `go`, and that is given up meanwhile. */
async function givenUp(world: World, operation: MemoryOperation) {
  world.clock.pass(1000)
  const gate = Promise.withResolvers<void>()
  const late = Promise.withResolvers<void>()
  world.right.fault = async (now) => {
    if (now !== operation) return
    await gate.promise
    late.resolve()
  }
  const clock = new ManualClock(0)
  using limit = new TimeLimit('orders', 1000, new AbortController().signal, clock)
  const project = { ...world.project, context: { ...world.project.context, signal: limit.signal } }
  const running = runSync(world.sync, project, { limit })
  // The run is in the target when the time is up.
  for (let turn = 0; turn < 50; turn++) await settle()
  await clock.advance(2000)
  const run = await running
  const go = async () => {
    gate.resolve()
    await late.promise
    for (let turn = 0; turn < 50; turn++) await settle()
  }
  return { run, go }
}

test(
  'what a run does before and after the rows is done under its lease, also where it takes one for itself',
  inWorld(async (world) => {
    const { store, context } = world.project
    const taken: unknown[] = []
    world.put(...someOrders(3))
    const step = (action: string) => ({ connection: 'hook', action, input: null })
    world.sync = { ...world.sync, steps: { before: step('before'), after: step('after') } }
    world.project = {
      ...world.project,
      act: async (_connection, action) => {
        const other = await store.leases.take('orders', 'somebody else', context.clock.now(), 1000).catch(asSyncError)
        taken.push([action, other instanceof SyncError ? other.code : other])
        return { success: true, executionTime: 0 }
      },
    }
    assertRun(await world.run(), { inserted: 3 })
    assert.deepEqual(taken, [
      ['before', 'LEASE_LOST'],
      ['after', 'LEASE_LOST'],
    ])
  }),
)

describe('a run that is given up while the target does not answer', () => {
  test(
    'is on record as failed, and what it does when the target answers again is not committed, nor told',
    inWorld(async (world) => {
      world.put(...someOrders(3))
      const { run, go } = await givenUp(world, 'put')
      assertRun(run, { status: 'failed', code: 'TIMED_OUT' })
      const told = [world.events.length, world.steps.length]
      await go()
      assert.deepEqual(world.target, [])
      assert.equal(world.right.checkpoints.size, 0)
      assert.deepEqual([world.events.length, world.steps.length], told)
      assert.equal((await world.project.store.runs.get(run.id))?.error?.code, 'TIMED_OUT')
      world.right.fault = () => {}
      assertRun(await world.run(), { inserted: 3 })
    }),
  )

  test(
    'deletes nothing afterwards',
    inWorld(async (world) => {
      world.put(...someOrders(3))
      await world.run()
      world.delete(2)
      const { run, go } = await givenUp(world, 'delete')
      assertRun(run, { status: 'failed', code: 'TIMED_OUT' })
      await go()
      assert.equal(world.target.length, 3)
      world.right.fault = () => {}
      assertRun(await world.run(), { deleted: 1 })
    }),
  )

  test(
    'tells nothing afterwards of what it changed in the target’s schema',
    inWorld(async (world) => {
      world.put(...someOrders(3))
      const { run, go } = await givenUp(world, 'claim')
      assertRun(run, { status: 'failed', code: 'TIMED_OUT' })
      const told = [[...world.events], [...world.steps]]
      await go()
      assert.deepEqual([world.events, world.steps], told)
    }),
  )

  test(
    'opens nothing afterwards',
    inWorld(async (world) => {
      const opened: string[] = []
      const gate = Promise.withResolvers<void>()
      const { connection } = world.project
      world.project = {
        ...world.project,
        connection: async (name) => {
          opened.push(name)
          await gate.promise
          return await connection(name)
        },
      }
      const { run } = await givenUp(world, 'claim')
      assertRun(run, { status: 'failed', code: 'TIMED_OUT' })
      gate.resolve()
      for (let turn = 0; turn < 50; turn++) await settle()
      assert.deepEqual(opened, ['left'])
    }),
  )
})
