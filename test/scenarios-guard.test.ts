import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assertRun, inWorld, someOrders } from './scenarios/world.ts'

const ids = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at)

describe('the delete guard', () => {
  test(
    'holds a run that would delete too much: nothing is deleted until a person releases it (hazard 6)',
    inWorld(async (world) => {
      world.put(...someOrders(100))
      await world.run()
      world.delete(...ids(1, 30))
      world.put([200, 'new', null])
      const held = await world.run()
      assertRun(held, { status: 'held', inserted: 1, heldDeletes: 30 })
      assert.equal(held.error?.code, 'GUARD_HELD')
      assert.ok(held.error?.hint?.includes(held.id))
      assert.equal(world.target.length, 101)
      assertRun(await world.run(), { status: 'held', heldDeletes: 30 })
      await world.release(held).catch(() => {})
      assert.equal(world.target.length, 101)
    }),
  )

  test(
    'a release lets exactly that many go, once',
    inWorld(async (world) => {
      world.put(...someOrders(100))
      await world.run()
      world.delete(...ids(1, 30))
      await world.release(await world.run())
      assertRun(await world.run(), { deleted: 30 })
      world.delete(...ids(31, 60))
      assertRun(await world.run(), { status: 'held', heldDeletes: 30 })
    }),
  )

  test(
    'a release does not let more go than the person saw',
    inWorld(async (world) => {
      world.put(...someOrders(100))
      await world.run()
      world.delete(...ids(1, 30))
      const seen = await world.run()
      world.delete(31)
      await world.release(seen)
      assertRun(await world.run(), { status: 'held', heldDeletes: 31 })
      assert.equal(world.target.length, 100)
    }),
  )

  test(
    'a release is good for a run that failed before it deleted anything',
    inWorld(async (world) => {
      world.put(...someOrders(100))
      await world.run()
      world.delete(...ids(1, 30))
      await world.release(await world.run())
      world.right.fault = (operation) => {
        if (operation === 'delete') throw new Error('not now')
      }
      assertRun(await world.run(), { status: 'failed', code: 'INTERNAL' })
      world.right.fault = () => {}
      assertRun(await world.run(), { deleted: 30 })
    }),
  )

  test(
    'an empty source over a target with rows is held, however few they are (hazard 6)',
    inWorld(async (world) => {
      world.put(...someOrders(2))
      await world.run()
      world.delete(1, 2)
      const held = await world.run()
      assertRun(held, { status: 'held', heldDeletes: 2 })
      assert.equal(world.target.length, 2)
      await world.release(held)
      assertRun(await world.run(), { deleted: 2 })
    }),
  )

  test(
    'a source that shows only some of its rows is held (hazard 6)',
    inWorld(async (world) => {
      world.put(...someOrders(100))
      await world.run()
      const all = world.left.tables
      world.delete(...ids(1, 60))
      world.feed = 'puts'
      assertRun(await world.run(), { status: 'held', heldDeletes: 60 })
      world.left.tables = all
      assertRun(await world.run(), {})
      assert.equal(world.target.length, 100)
    }),
  )

  test(
    'few deletions go through, and so does a small share of many',
    inWorld(async (world) => {
      world.put(...someOrders(100))
      await world.run()
      world.delete(...ids(1, 20))
      assertRun(await world.run(), { deleted: 20 })
      world.delete(...ids(21, 36))
      assertRun(await world.run(), { deleted: 16 })
    }),
  )

  test(
    'its limits are the sync’s own',
    inWorld(async (world) => {
      world.sync = { ...world.sync, guard: { maxDeletes: 0, maxDeleteShare: 0 } }
      world.put(...someOrders(100))
      await world.run()
      world.delete(1)
      assertRun(await world.run(), { status: 'held', heldDeletes: 1 })
      assertRun(await world.run({ guard: { maxDeletes: 1, maxDeleteShare: 0 } }), { deleted: 1 })
    }),
  )

  test(
    'does not count rows that the target can’t be given as deletions',
    inWorld(async (world) => {
      world.put(...someOrders(20))
      await world.run()
      world.sync = {
        ...world.sync,
        fields: new Map([
          ['id', { kind: 'from', from: 'id' }],
          ['total', { kind: 'from', from: 'total', type: 'integer' }],
        ]),
      }
      await world.reset(true)
      world.left.put('orders', ...someOrders(20).map((row) => [row[0]!, 'new', '1']))
      await world.run()
      world.put(...someOrders(20))
      assertRun(await world.run(), { status: 'failed', code: 'ROWS_REJECTED', rejected: 20 })
      assert.equal(world.target.length, 20)
    }),
  )
})

describe('a repair', () => {
  test(
    'is held like a run, until the held repair is released, and says how many rows there are afterwards',
    inWorld(async (world) => {
      world.put(...someOrders(100))
      await world.run()
      world.delete(...ids(1, 100))
      const held = await world.verify({ repair: true }).catch((error) => error)
      assert.equal(held.code, 'GUARD_HELD', held.message)
      assert.equal(world.target.length, 100)
      const [run] = await world.project.store.runs.list({ limit: 1 })
      assert.ok(run !== undefined && held.hint.includes(run.id))
      assertRun(run, { status: 'held', heldDeletes: 100 })
      await world.release(run)
      const { equal, left, right, repaired } = await world.verify({ repair: true })
      assert.deepEqual({ equal, left, right, repaired }, { equal: true, left: 0, right: 0, repaired: 100 })
      assert.equal(await world.project.store.runs.released('orders'), null)
    }),
  )

  test(
    'in several rounds is decided about once: no round deletes what the next would hold',
    inWorld(async (world) => {
      world.sync = { ...world.sync, guard: { maxDeletes: 10, maxDeleteShare: 0.2 } }
      world.put(...someOrders(100))
      await world.run()
      world.delete(...ids(1, 19))
      const { right, repaired } = await world.verify({ repair: true, maxSuspects: 10 })
      assert.deepEqual({ right, repaired }, { right: 81, repaired: 19 })
    }),
  )

  test(
    'of a few rows is no matter of the guard, and counts what it wrote',
    inWorld(async (world) => {
      world.put(...someOrders(10))
      await world.run()
      world.put(...someOrders(13))
      world.delete(1)
      const { right, repaired } = await world.verify({ repair: true })
      assert.deepEqual({ right, repaired }, { right: 12, repaired: 4 })
      const [run] = await world.project.store.runs.list({ limit: 1 })
      assert.ok(run !== undefined)
      assertRun(run, { inserted: 3, deleted: 1 })
    }),
  )
})

describe('deletes: mark', () => {
  test(
    'are guarded, too',
    inWorld(async (world) => {
      world.sync = { ...world.sync, deletes: 'mark' }
      world.put(...someOrders(100))
      await world.run()
      world.delete(...ids(1, 50))
      assertRun(await world.run(), { status: 'held', heldDeletes: 50 })
    }),
  )
})
