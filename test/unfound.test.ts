/** A system whose look-up does not find a row that it gives when it is read: nobody can say that such a row is equal. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Chunk, Connection, View } from '../src/connectors/connector.ts'
import type { Key } from '../src/core/value.ts'
import { verifySync } from '../src/engine/one-way/verify.ts'
import type { Project } from '../src/engine/project.ts'
import { runSync } from '../src/engine/runs/run-sync.ts'
import { verifyTwoWay } from '../src/engine/two-way/verify.ts'
import { inWorld, someOrders, type World } from './scenarios/world.ts'
import { World as TwoWayWorld } from './two-way/world.ts'

const missed = 3

/** As a project, but look-ups of one system don't find the row with the key 3. */
function missing(project: Project, name: string): Project {
  return {
    ...project,
    connection: async (one) => {
      const connection = await project.connection(one)
      return one === name ? blind(connection) : connection
    },
  }
}

function blind(connection: Connection): Connection {
  const { sink: openSink } = connection
  const passes = (keys: readonly Key[]) => keys.filter(([id]) => id !== missed)
  const view = (open: View): View => ({ ...open, fetch: (keys, fields) => open.fetch(passes(keys), fields) })
  return {
    ...connection,
    collection: async (name, options) => {
      const collection = await connection.collection(name, options)
      const { lookup, view: open } = collection
      return {
        ...collection,
        ...(open === undefined ? {} : { view: async (selection) => view(await open(selection)) }),
        lookup: { ...lookup, fetch: (keys, fields): Promise<Chunk> => lookup.fetch(passes(keys), fields) },
      }
    },
    ...(openSink === undefined
      ? {}
      : {
          sink: async (syncs) => {
            const sink = await openSink(syncs)
            return { ...sink, view: async (spec, rows) => view(await sink.view(spec, rows)) }
          },
        }),
  }
}

describe('verify of a row that a look-up does not find', () => {
  const spoils: readonly (readonly [string, (world: World) => void])[] = [
    ['missing in the target', ({ right }) => right.delete('orders', [missed])],
    ['different', ({ right }) => right.put('orders', [missed, 'different', '2.50'])],
    ['extra', ({ left }) => left.delete('orders', [missed])],
  ]
  for (const [what, spoil] of spoils)
    for (const name of ['left', 'right'])
      test(
        `says that it is not equal: ${what}, and the ${name} system is asked`,
        inWorld(async (world) => {
          world.put(...someOrders(5))
          await world.run()
          spoil(world)
          const found = await verifySync(world.sync, missing(world.project, name), {
            repair: false,
            onProgress: () => {},
          })
          assert.equal(found.equal, false)
          assert.equal(found.missing + found.extra + found.different + found.unreadable, 1)
        }),
      )

  test(
    'does not delete the row of the target that it can be compared with',
    inWorld(async (world) => {
      world.put(...someOrders(5))
      await world.run()
      world.right.put('orders', [missed, 'different', '2.50'])
      world.clock.pass(1000)
      const project = missing(world.project, 'left')
      const found = await verifySync(world.sync, project, { repair: true, onProgress: () => {} })
      assert.deepEqual([found.equal, found.unreadable, found.repaired], [false, 1, 0])
      assert.deepEqual(found.keys.unreadable, [{ id: missed }])
      assert.equal(world.target.length, 5)
    }),
  )

  for (const name of ['left', 'right'] as const)
    test(`of a two-way sync says that it is not equal, when the ${name} system is asked`, async () => {
      const world = new TwoWayWorld()
      world[name].put('contacts', [1, 'Ann', 'ann@x', '1'], [missed, 'Bob', 'bob@x', '2'])
      const [sync] = world.syncs
      assert.ok(sync !== undefined)
      const project = missing(world.project, name)
      await runSync(sync, project)
      const found = await verifyTwoWay(sync, project, () => {})
      assert.deepEqual([found.equal, found.unreadable], [false, 1])
    })
})
