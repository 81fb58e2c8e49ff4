/** Hazard 29: runs and readers of one process, on one store, at once. Nothing that one marked may be reached by another. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deadLetters } from '../../src/engine/runs/dead-letters.ts'
import { whyRow } from '../../src/engine/two-way/explain.ts'
import { planTwoWay } from '../../src/engine/two-way/plan.ts'
import { verifyTwoWay } from '../../src/engine/two-way/verify.ts'
import { openPostgresStore } from '../../src/store/postgres/store.ts'
import { openMemoryStore } from '../../src/store/sqlite/store.ts'
import type { Store } from '../../src/store/store.ts'
import { createDatabase } from '../../tools/database.ts'
import { World } from './world.ts'

const ROWS = 300
const batch = { rows: 20, bytes: 1_000_000 }

function person(id: number, name = `name ${id}`): (string | number)[] {
  return [id, name, `mail${id}@x.org`, String(id)]
}

const stores: readonly (readonly [string, (work: (store: Store) => Promise<void>) => Promise<void>])[] = [
  ['SQLite', async (work) => await work(openMemoryStore())],
  [
    'Postgres',
    async (work) => {
      await using database = await createDatabase()
      await using store = await openPostgresStore(database.url)
      await work(store)
    },
  ],
]

for (const [name, withStore] of stores) {
  test(`point 1, hazard 29: two first runs at once on ${name} leave each other's work alone`, async () => {
    await withStore(async (store) => {
      const worlds = ['contacts', 'people'].map((id) => new World({ id, batch }, {}, store))
      for (const [at, world] of worlds.entries()) {
        world.now += at * 1_000_000
        for (let id = 1; id <= ROWS; id++) {
          world.left.put('contacts', person(id))
          // A few are on the left only, a few on the right only, and a few differ.
          if (id % 25 > 0) world.right.put('contacts', person(id, id % 10 === 0 ? 'other' : `name ${id}`))
          if (id % 30 === 0) world.right.put('contacts', person(1000 + id))
        }
      }
      const records = await Promise.all(worlds.map((world) => world.sync()))
      for (const [at, world] of worlds.entries()) {
        assert.deepEqual([records[at]?.status, records[at]?.inserted], ['succeeded', 22])
        for (const side of ['left', 'right'] as const) assert.equal(world[side].rows('contacts').length, ROWS + 10)
        const again = await world.sync()
        assert.deepEqual([again.status, World.writes(again)], ['succeeded', 0])
      }
    })
  })

  test(`point 2, hazard 29: who looks at a sync on ${name} while it runs takes nothing from it`, async () => {
    await withStore(async (store) => {
      const world = new World({ batch }, {}, store)
      const [sync] = world.syncs
      assert.ok(sync)
      for (let id = 1; id <= ROWS; id++) world.left.put('contacts', person(id))
      assert.equal((await world.sync()).inserted, ROWS)
      for (let id = 1; id <= ROWS; id++) world.left.put('contacts', person(id, `edited ${id}`))
      let running = true
      const looks = [
        () => deadLetters(sync, world.project),
        () => whyRow(sync, world.project, '7'),
        () => planTwoWay(sync, world.project),
        () => verifyTwoWay(sync, world.project, () => {}),
      ]
      let looked = 0
      const watchers = looks.map(async (look) => {
        for (; running; looked++) {
          await look()
          await new Promise(setImmediate)
        }
      })
      const record = await world.sync()
      running = false
      await Promise.all(watchers)
      assert.deepEqual([record.status, record.updated], ['succeeded', ROWS])
      assert.ok(looked > 0)
      assert.deepEqual(world.values('right'), world.values('left'))
      assert.equal((await planTwoWay(sync, world.project)).updates, 0)
    })
  })
}
