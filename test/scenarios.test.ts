import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FieldRule } from '../src/core/sync.ts'
import { assertRun, inWorld, orders, someOrders } from './scenarios/world.ts'

describe('a one-way sync', () => {
  test(
    'copies everything first, then writes nothing until something changes',
    inWorld(async (world) => {
      world.put([1, 'new', '9.50'], [2, 'paid', '20'])
      assertRun(await world.run(), { read: 2, inserted: 2 })
      assert.deepEqual(world.target, [
        [1, 'new', '9.50'],
        [2, 'paid', '20'],
      ])
      assertRun(await world.run(), { read: 0 })
      assertRun(await world.run(), { read: 0 })
    }),
  )

  test(
    'copies an empty collection into an empty table',
    inWorld(async (world) => {
      assertRun(await world.run(), { read: 0 })
      assert.deepEqual(world.target, [])
      world.put([1, 'new', null])
      assertRun(await world.run(), { inserted: 1 })
    }),
  )

  test(
    'carries inserts, updates and deletes over, and nothing else',
    inWorld(async (world) => {
      world.put(...someOrders(5))
      await world.run()
      world.put([2, 'paid', '1.50'], [6, 'new', '0'])
      world.delete(3)
      assertRun(await world.run(), { read: 2, inserted: 1, updated: 1, deleted: 1 })
      assert.deepEqual(
        world.target.map(([id, status]) => [id, status]),
        [
          [1, 'new'],
          [2, 'paid'],
          [4, 'new'],
          [5, 'new'],
          [6, 'new'],
        ],
      )
    }),
  )

  test(
    'carries a changed key over as a delete and an insert',
    inWorld(async (world) => {
      world.put([1, 'new', null])
      await world.run()
      world.delete(1)
      world.put([100, 'new', null])
      assertRun(await world.run(), { inserted: 1, deleted: 1 })
      assert.deepEqual(world.target, [[100, 'new', null]])
    }),
  )

  test(
    'writes nothing for a row that was written again as it was',
    inWorld(async (world) => {
      world.put([1, 'new', '1'], [2, 'new', '2'])
      await world.run()
      world.put([1, 'new', '1'])
      world.delete(2)
      world.put([2, 'new', '2'])
      assertRun(await world.run(), { read: 2, unchanged: 2 })
    }),
  )

  test(
    'keeps its rows and checkpoint together: small batches come to the same end',
    inWorld(async (world) => {
      world.left.pageRows = 3
      world.put(...someOrders(20))
      assertRun(await world.run({ batch: { rows: 4, bytes: 1e9 } }), { inserted: 20 })
      assert.equal(world.writes, 20)
      assert.ok((await world.verify()).equal)
    }),
  )
})

describe('a filter', () => {
  test(
    'lets only its rows in, and a row that leaves it leaves the target',
    inWorld(async (world) => {
      world.sync = { ...world.sync, where: { status: { in: ['paid', 'shipped'] } } }
      world.put([1, 'new', null], [2, 'paid', null], [3, 'shipped', null], [4, null, null])
      assertRun(await world.run(), { inserted: 2 })
      world.put([1, 'paid', null], [2, 'refunded', null], [3, 'shipped', '1'])
      assertRun(await world.run(), { inserted: 1, updated: 1, deleted: 1 })
      assert.deepEqual(
        world.target.map(([id]) => id),
        [1, 3],
      )
    }),
  )

  test(
    'that changes makes the next run compare in full',
    inWorld(async (world) => {
      world.put([1, 'new', null], [2, 'paid', null], [3, 'paid', null])
      await world.run()
      const paid = { where: { status: 'paid' } }
      assertRun(await world.run(paid), { deleted: 1, unchanged: 2 })
      assertRun(await world.run(paid), { read: 0 })
      assertRun(await world.run(), { inserted: 1 })
    }),
  )
})

describe('fields', () => {
  test(
    'are renamed, left out, converted and computed',
    inWorld(async (world) => {
      world.sync = {
        ...world.sync,
        fields: new Map<string, FieldRule>([
          ['number', { kind: 'from', from: 'id' }],
          ['cents', { kind: 'from', from: 'total', type: 'integer' }],
          ['label', { kind: 'compute', compute: (row) => `#${row.id} ${row.status}`, type: 'text', version: null }],
        ]),
      }
      world.put([7, 'paid', '900.0'])
      assertRun(await world.run(), { inserted: 1 })
      assert.deepEqual(world.target, [[7, 900, '#7 paid']])
      world.put([7, 'shipped', '900'])
      assertRun(await world.run(), { updated: 1 })
      assert.deepEqual(world.target, [[7, 900, '#7 shipped']])
    }),
  )

  test(
    'a function that throws rejects its row only; the row is tried on every run and settles when it can',
    inWorld(async (world) => {
      let broken = true
      const compute = (row: { readonly id?: unknown }) => {
        if (broken && row.id === 2) throw new Error('no label for it')
        return `#${row.id}`
      }
      world.sync = {
        ...world.sync,
        fields: new Map<string, FieldRule>([
          ['id', { kind: 'from', from: 'id' }],
          ['label', { kind: 'compute', compute, type: 'text', version: null }],
        ]),
      }
      world.put(...someOrders(3))
      const run = await world.run()
      assertRun(run, { status: 'failed', code: 'ROWS_REJECTED', inserted: 2, rejected: 1 })
      assert.match(run.error?.message ?? '', /^1 row of sync orders/)
      assert.match(run.error?.hint ?? '', /`syncline dead-letters orders`/)
      assertRun(await world.run(), { status: 'failed', code: 'ROWS_REJECTED', rejected: 1 })
      broken = false
      assertRun(await world.run(), { inserted: 1 })
      assert.deepEqual(world.target, [
        [1, '#1'],
        [2, '#2'],
        [3, '#3'],
      ])
      assertRun(await world.run(), { read: 0 })
    }),
  )

  test(
    'a rejected row that is deleted at the source is forgotten',
    inWorld(async (world) => {
      world.sync = {
        ...world.sync,
        fields: new Map<string, FieldRule>([
          ['id', { kind: 'from', from: 'id' }],
          ['total', { kind: 'from', from: 'total', type: 'integer' }],
        ]),
      }
      world.put([1, 'new', '1'], [2, 'new', '2.5'])
      assertRun(await world.run(), { status: 'failed', code: 'ROWS_REJECTED', inserted: 1, rejected: 1 })
      world.delete(2)
      assertRun(await world.run(), {})
      assertRun(await world.run(), {})
    }),
  )

  test(
    'a rejected update leaves the older version in the target until it is mended',
    inWorld(async (world) => {
      world.sync = {
        ...world.sync,
        fields: new Map<string, FieldRule>([
          ['id', { kind: 'from', from: 'id' }],
          ['total', { kind: 'from', from: 'total', type: 'integer' }],
        ]),
      }
      world.put([1, 'new', '1'], [2, 'new', '2'])
      await world.run()
      world.put([2, 'new', '2.5'])
      assertRun(await world.run(), { status: 'failed', code: 'ROWS_REJECTED', rejected: 1 })
      assert.deepEqual(world.target, [
        [1, 1],
        [2, 2],
      ])
      world.put([2, 'new', '3.0'])
      assertRun(await world.run(), { updated: 1 })
      assert.deepEqual(world.target, [
        [1, 1],
        [2, 3],
      ])
    }),
  )

  test(
    'a new version of a function makes the next run compare in full',
    inWorld(async (world) => {
      const labelled = (version: string, sign: string) => ({
        fields: new Map<string, FieldRule>([
          ['id', { kind: 'from', from: 'id' }],
          [
            'label',
            {
              kind: 'compute',
              compute: (row: { readonly id?: unknown }) => `${sign}${row.id}`,
              type: 'text',
              version,
            } as const,
          ],
        ]),
      })
      world.put(...someOrders(3))
      await world.run(labelled('1', '#'))
      assertRun(await world.run(labelled('1', 'No. ')), { read: 0 })
      assertRun(await world.run(labelled('2', 'No. ')), { updated: 3 })
    }),
  )
})

describe('deletions', () => {
  test(
    'with keep, nothing is deleted at the target, and verify is content',
    inWorld(async (world) => {
      world.sync = { ...world.sync, deletes: 'keep' }
      world.put(...someOrders(3))
      await world.run()
      world.delete(1, 2, 3)
      assertRun(await world.run(), {})
      assert.equal(world.target.length, 3)
      assert.ok((await world.verify()).equal)
      assert.equal((await world.plan()).deletes, 0)
    }),
  )

  test(
    'a row deleted at the target by hand comes back',
    inWorld(async (world) => {
      world.put(...someOrders(5))
      await world.run()
      world.right.delete('orders', [3])
      assertRun(await world.run(), { inserted: 1 })
      assert.equal(world.target.length, 5)
    }),
  )

  test(
    'a row added at the target by hand goes',
    inWorld(async (world) => {
      world.put(...someOrders(5))
      await world.run()
      world.right.put('orders', [99, 'by hand', null])
      assertRun(await world.run(), { deleted: 1 })
      assert.equal(world.target.length, 5)
    }),
  )
})

describe('an adopted table', () => {
  test(
    'keeps the rows that the sync did not write, whatever happens at the source',
    inWorld(async (world) => {
      world.right.create(orders)
      world.right.put('orders', [100, 'foreign', null], [1, 'foreign', null], [2, 'new', '1.50'])
      world.sync = { ...world.sync, adopt: true }
      world.put(...someOrders(3))
      assertRun(await world.run(), { inserted: 1, updated: 1, unchanged: 1 })
      world.delete(1, 2, 3)
      world.put([4, 'new', null])
      assertRun(await world.run({ guard: { maxDeletes: 10, maxDeleteShare: 1 } }), { inserted: 1, deleted: 2 })
      assert.deepEqual(world.target, [
        [2, 'new', '1.50'],
        [4, 'new', null],
        [100, 'foreign', null],
      ])
      assertRun(await world.run(), {})
    }),
  )

  test(
    'that is not adopted is refused, and left as it is',
    inWorld(async (world) => {
      world.right.create(orders)
      world.right.put('orders', [100, 'foreign', null])
      world.put(...someOrders(3))
      assertRun(await world.run(), { status: 'failed', code: 'TARGET_NOT_OURS' })
      assert.deepEqual(world.target, [[100, 'foreign', null]])
    }),
  )

  test(
    'of another sync or project is refused',
    inWorld(async (world) => {
      world.put(...someOrders(1))
      await world.run()
      assertRun(await world.run({ id: 'other' }), { status: 'failed', code: 'TARGET_SHARED' })
      world.project = { ...world.project, id: 'another project' }
      assertRun(await world.run(), { status: 'failed', code: 'TARGET_NOT_OURS' })
      assertRun(await world.run({ adopt: true }), { status: 'failed', code: 'TARGET_NOT_OURS' })
    }),
  )
})
