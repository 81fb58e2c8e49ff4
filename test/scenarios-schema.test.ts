import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Schema } from '../src/core/schema.ts'
import { assertRun, field, inWorld, orders, someOrders, type World } from './scenarios/world.ts'

/** The source's table changes its fields; `fill` says what its rows hold then. */
function alter(
  world: World,
  fields: Schema['fields'],
  fill: (row: readonly unknown[]) => readonly (string | number | null)[],
): void {
  const table = world.left.table('orders')
  const rows = new Map([...table.rows].map(([key, row]) => [key, fill(row)]))
  world.left.tables = new Map(world.left.tables).set('orders', { ...table, schema: { ...table.schema, fields }, rows })
}

const [id, status, total] = orders.fields

function told(world: World): string[] {
  return world.events.flatMap((event) =>
    event.event === 'run.schema'
      ? event.changes.map(
          (change) =>
            `${change.kind} ${change.kind === 'create' ? change.schema.name : change.kind === 'rekey' ? change.to : change.field.name}`,
        )
      : [],
  )
}

describe('when the source’s schema changes', () => {
  test(
    'a new column is added and filled for the rows there are, though none of them changed (hazard 12)',
    inWorld(async (world) => {
      world.put(...someOrders(3))
      await world.run()
      alter(world, [...orders.fields, field('note', 'text')], (row) => [...(row as [number, string, string]), 'filled'])
      assertRun(await world.run(), { updated: 3 })
      assert.deepEqual(
        world.target.map((row) => row[3]),
        ['filled', 'filled', 'filled'],
      )
      assertRun(await world.run(), { read: 0 })
      assert.deepEqual(told(world), ['create orders', 'add note'])
    }),
  )

  test(
    'a new column is filled also when the run that added it was lost (hazard 12)',
    inWorld(async (world) => {
      world.put(...someOrders(3))
      await world.run()
      alter(world, [...orders.fields, field('note', 'text')], (row) => [...(row as [number, string, string]), 'filled'])
      world.right.fault = (operation) => {
        if (operation === 'begin') throw new Error('the process died here')
      }
      assertRun(await world.run(), { status: 'failed', code: 'INTERNAL' })
      world.right.fault = () => {}
      assertRun(await world.run(), { updated: 3 })
      assert.deepEqual(
        world.target.map((row) => row[3]),
        ['filled', 'filled', 'filled'],
      )
    }),
  )

  test(
    'a dropped column stays in the target and is told once',
    inWorld(async (world) => {
      world.put(...someOrders(2))
      await world.run()
      alter(world, [id!, status!], (row) => (row as [number, string]).slice(0, 2))
      assertRun(await world.run(), {})
      world.put([3, 'new'])
      assertRun(await world.run(), { inserted: 1 })
      assert.deepEqual(world.target, [
        [1, 'new', '0.50'],
        [2, 'new', '1.50'],
        [3, 'new', null],
      ])
      assert.deepEqual(told(world), ['create orders', 'orphan total'])
    }),
  )

  test(
    'a column that was dropped and comes back is filled again',
    inWorld(async (world) => {
      world.put(...someOrders(2))
      await world.run()
      alter(world, [id!, status!], (row) => (row as [number, string]).slice(0, 2))
      await world.run()
      alter(world, [id!, status!, total!], (row) => [...(row as [number, string]), '7'])
      assertRun(await world.run(), { updated: 2 })
      assert.deepEqual(
        world.target.map((row) => row[2]),
        ['7', '7'],
      )
    }),
  )

  test(
    'a wider type widens the target',
    inWorld(async (world) => {
      alter(world, [field('id', 'integer', 'integer'), status!, total!], (row) => row as [number])
      world.put(...someOrders(2))
      await world.run()
      alter(world, [field('id', 'integer', 'bigint'), status!, total!], (row) => row as [number])
      assertRun(await world.run(), {})
      assert.deepEqual(told(world), ['create orders', 'widen id'])
      assert.equal(world.right.table('orders').schema.fields[0]?.native, 'bigint')
    }),
  )

  test(
    'a type that does not fit holds the sync, with a hint and without a write; others go on',
    inWorld(async (world) => {
      world.put(...someOrders(2))
      await world.run()
      alter(world, [id!, status!, field('total', 'boolean')], ([n, s]) => [n as number, s as string, null])
      world.left.create({ ...orders, name: 'customers' })
      const held = await world.run()
      assertRun(held, { status: 'held' })
      assert.equal(held.error?.code, 'SCHEMA_DRIFT')
      assert.match(held.error?.hint ?? '', /total.*reset orders --drop/)
      assert.deepEqual(
        world.target.map((row) => row[2]),
        ['0.50', '1.50'],
      )
      assert.ok((await world.plan()).held)
      const other = {
        id: 'customers',
        from: { connection: 'left', collection: 'customers' },
        to: { connection: 'right', collection: 'customers' },
      }
      assertRun(await world.run(other), {})
    }),
  )

  test(
    'a reset with drop makes the table anew, with the types there are now',
    inWorld(async (world) => {
      world.put(...someOrders(2))
      await world.run()
      alter(world, [id!, status!, field('total', 'boolean')], ([n, s]) => [n as number, s as string, null])
      await world.reset(true)
      assertRun(await world.run(), { inserted: 2 })
      assert.equal(world.right.table('orders').schema.fields[2]?.type, 'boolean')
    }),
  )

  test(
    'a table that was made anew with the same rows is read anew',
    inWorld(async (world) => {
      world.put(...someOrders(2))
      await world.run()
      world.left.create(orders)
      world.put(...someOrders(2), [3, 'new', null])
      assertRun(await world.run(), { inserted: 1 })
    }),
  )

  test(
    'a collection that is gone fails the sync, and deletes nothing',
    inWorld(async (world) => {
      world.put(...someOrders(2))
      await world.run()
      world.left.tables = new Map()
      assertRun(await world.run(), { status: 'failed', code: 'COLLECTION_UNKNOWN' })
      assert.equal(world.target.length, 2)
    }),
  )
})
