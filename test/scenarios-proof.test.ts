import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FieldRule } from '../src/core/sync.ts'
import type { Row } from '../src/core/value.ts'
import { assertRun, inWorld, someOrders, type World } from './scenarios/world.ts'

/** The target's rows are changed by somebody else: one is gone, one is new, one is different. */
async function spoil(world: World): Promise<void> {
  world.put(...someOrders(5))
  await world.run()
  world.right.delete('orders', [1])
  world.right.put('orders', [99, 'extra', null], [3, 'different', '2.50'])
}

describe('verify', () => {
  test(
    'says that both sides are equal',
    inWorld(async (world) => {
      world.put(...someOrders(5))
      await world.run()
      const { equal, left, right, missing, extra, different } = await world.verify()
      assert.deepEqual(
        { equal, left, right, missing, extra, different },
        { equal: true, left: 5, right: 5, missing: 0, extra: 0, different: 0 },
      )
    }),
  )

  test(
    'finds what is missing, extra and different, and names the keys',
    inWorld(async (world) => {
      await spoil(world)
      const found = await world.verify()
      assert.ok(!found.equal)
      assert.deepEqual([found.missing, found.extra, found.different], [1, 1, 1])
      assert.deepEqual(found.keys, {
        missing: [{ id: 1 }],
        extra: [{ id: 99 }],
        different: [{ id: 3 }],
        unreadable: [],
      })
      assert.equal(world.target.length, 5)
    }),
  )

  test(
    'with repair mends all of it',
    inWorld(async (world) => {
      await spoil(world)
      const mended = await world.verify({ repair: true })
      assert.ok(mended.equal)
      assert.equal(mended.repaired, 3)
      assert.deepEqual(world.target, world.left.rows('orders'))
      assertRun(await world.run(), {})
    }),
  )

  test(
    'with repair mends more than it can keep in mind at once',
    inWorld(async (world) => {
      world.put(...someOrders(30))
      await world.run()
      world.right.delete('orders', ...someOrders(30).flatMap(([id]) => (Number(id) % 2 === 0 ? [[id!]] : [])))
      world.right.put('orders', ...[3, 5, 7, 9, 11].map((id): Row => [id, 'different', null]))
      world.right.put('orders', ...[95, 96, 97, 98, 99].map((id): Row => [id, 'extra', null]))
      const found = await world.verify({ repair: false, maxSuspects: 3 })
      assert.deepEqual([found.missing, found.extra, found.different], [15, 5, 5])
      const mended = await world.verify({ repair: true, maxSuspects: 3 })
      assert.deepEqual([mended.equal, mended.repaired], [true, 25])
      assert.deepEqual(world.target, world.left.rows('orders'))
      assertRun(await world.run(), {})
    }),
  )

  test(
    'with repair gets past rows that can’t be mended, and makes the table when there is none',
    inWorld(async (world) => {
      const n = { kind: 'from', from: 'status', type: 'integer' } as const
      world.sync = {
        ...world.sync,
        fields: new Map<string, FieldRule>([
          ['id', { kind: 'from', from: 'id' }],
          ['n', n],
        ]),
      }
      world.put(
        ...someOrders(10),
        ...someOrders(30)
          .slice(10)
          .map(([id]): Row => [id!, '7', null]),
      )
      const mended = await world.verify({ repair: true, maxSuspects: 3 })
      assert.deepEqual([mended.equal, mended.repaired, mended.missing, mended.unreadable], [false, 20, 0, 10])
      assert.equal(mended.keys.unreadable.length, 10)
      assert.equal(world.target.length, 20)
    }),
  )

  test(
    'looks again at what differs, and so does not report a write between its two reads',
    inWorld(async (world) => {
      world.put(...someOrders(5))
      await world.run()
      world.put([2, 'paid', '1.50'])
      let looks = 0
      world.right.fault = (operation) => {
        // The run of another process brings the row over after the first look.
        if (operation === 'view' && ++looks === 2) world.right.put('orders', [2, 'paid', '1.50'])
      }
      assert.ok((await world.verify()).equal)
      assert.equal(looks, 2)
    }),
  )

  test(
    'names at most twenty keys of a kind, and counts all',
    inWorld(async (world) => {
      world.put(...someOrders(5))
      await world.run()
      world.put(...someOrders(60).slice(5))
      const found = await world.verify()
      assert.equal(found.missing, 55)
      assert.equal(found.keys.missing.length, 20)
    }),
  )

  test(
    'before the first run finds everything missing',
    inWorld(async (world) => {
      world.put(...someOrders(3))
      const { missing, right } = await world.verify()
      assert.deepEqual({ missing, right }, { missing: 3, right: 0 })
    }),
  )

  test(
    'compares by meaning: another spelling of the same number is equal',
    inWorld(async (world) => {
      world.put([1, 'new', '1.50'])
      await world.run()
      world.right.put('orders', [1, 'new', '1.5'])
      assert.ok((await world.verify()).equal)
    }),
  )
})

describe('plan', () => {
  test(
    'shows what a run would do, with samples, and writes nothing',
    inWorld(async (world) => {
      await spoil(world)
      const before = { ...world.right }
      const plan = await world.plan()
      assert.deepEqual([plan.inserts, plan.updates, plan.deletes, plan.held], [1, 1, 1, false])
      assert.deepEqual(
        plan.samples,
        [
          {
            key: { id: 1 },
            kind: 'insert',
            fields: { id: { from: null, to: 1 }, status: { from: null, to: 'new' }, total: { from: null, to: '0.50' } },
          },
          { key: { id: 3 }, kind: 'update', fields: { status: { from: 'different', to: 'new' } } },
          {
            key: { id: 99 },
            kind: 'delete',
            fields: {
              id: { from: 99, to: null },
              status: { from: 'extra', to: null },
              total: { from: null, to: null },
            },
          },
        ].filter((sample) => sample.kind !== undefined),
      )
      assert.deepEqual({ ...world.right }, before)
    }),
  )

  test(
    'before the first run shows the table that would be made',
    inWorld(async (world) => {
      world.put(...someOrders(3))
      const plan = await world.plan()
      assert.equal(plan.inserts, 3)
      assert.deepEqual(
        plan.schema.map((change) => change.kind),
        ['create'],
      )
      assert.equal(world.right.tables.size, 0)
    }),
  )

  test(
    'says when the guard would hold the run',
    inWorld(async (world) => {
      world.put(...someOrders(100))
      await world.run()
      world.delete(...someOrders(50).map(([id]) => Number(id)))
      const plan = await world.plan()
      assert.deepEqual([plan.deletes, plan.held], [50, true])
      await world.release(await world.run())
      assert.ok(!(await world.plan()).held)
    }),
  )

  test(
    'says how the next run would read, and why',
    inWorld(async (world) => {
      world.put(...someOrders(1))
      assert.match((await world.plan()).reading, /copy everything/)
      await world.run()
      assert.match((await world.plan()).reading, /may have changed since/)
      assert.match((await world.plan({ mode: 'full' })).reading, /in full.*full/)
      assert.match((await world.plan({ where: { id: 1 } })).reading, /in full.*definition/)
      world.feed = 'none'
      assert.match((await world.plan()).reading, /in full.*it is so in this test/)
    }),
  )
})

describe('modes', () => {
  test(
    'full compares everything on every run, and writes only what differs',
    inWorld(async (world) => {
      world.sync = { ...world.sync, mode: 'full' }
      world.put(...someOrders(5))
      assertRun(await world.run(), { inserted: 5 })
      assertRun(await world.run(), { read: 5, unchanged: 5 })
      world.right.put('orders', [3, 'spoiled', null])
      assertRun(await world.run(), { updated: 1, unchanged: 4 })
    }),
  )

  test(
    'incremental is refused where the source can’t be followed',
    inWorld(async (world) => {
      world.feed = 'none'
      world.put(...someOrders(2))
      const run = await world.run({ mode: 'incremental' })
      assertRun(run, { status: 'failed', code: 'CURSOR_UNUSABLE' })
      assert.match(run.error?.message ?? '', /it is so in this test/)
      assertRun(await world.run({ mode: 'auto' }), { inserted: 2 })
      world.put([1, 'paid', null])
      assertRun(await world.run({ mode: 'auto' }), { updated: 1, unchanged: 1 })
    }),
  )

  test(
    'a source that went back in time is compared in full, and the log says so (hazard 10)',
    inWorld(async (world) => {
      world.put(...someOrders(3))
      await world.run()
      world.put([4, 'new', null])
      await world.run()
      world.left.create(world.left.table('orders').schema)
      world.left.seq = 0
      world.put(...someOrders(3))
      assertRun(await world.run(), { deleted: 1, unchanged: 3 })
      assert.match(world.logged.join(), /older than the cursor, or has another history; comparing in full/)
      assertRun(await world.run(), {})
    }),
  )

  test(
    'a reset makes the next run compare in full',
    inWorld(async (world) => {
      world.put(...someOrders(3))
      await world.run()
      world.right.put('orders', [3, 'spoiled', null])
      await world.reset(false)
      assertRun(await world.run(), { updated: 1, unchanged: 2 })
    }),
  )
})
