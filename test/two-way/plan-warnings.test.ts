/** What a plan warns of before the next run. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { planTwoWay } from '../../src/engine/two-way/plan.ts'
import { World } from './world.ts'

const ann = [1, 'Ann', 'ann@x.org', '1'] as const
const bob = [2, 'Bob', 'bob@x.org', '2'] as const

async function warnings(world: World): Promise<string> {
  const [sync] = world.syncs
  assert.ok(sync !== undefined)
  return (await planTwoWay(sync, world.project)).warnings.join('; ')
}

describe('plan warns', () => {
  test('when both sides hold rows and nothing says how they pair', async () => {
    const world = new World({ match: [] })
    world.left.put('contacts', ann, bob)
    assert.equal(await warnings(world), '')
    world.right.put('contacts', [51, 'Ann', 'ann@x.org', '1'])
    assert.match(await warnings(world), /no `match`.*insert 1 row on the left and 2 rows on the right/)
    await world.sync()
    assert.equal(await warnings(world), '')
    assert.equal(world.left.rows('contacts').length, 3)
  })

  test('not when there is a match', async () => {
    const world = new World()
    world.left.put('contacts', ann, bob)
    world.right.put('contacts', [51, 'Ann', 'ann@x.org', '1'])
    assert.equal(await warnings(world), '')
  })

  test('that a run will first take in what a killed one did', async () => {
    const world = new World({ match: [] })
    world.left.put('contacts', ann, bob)
    world.right.fault = (operation) => {
      if (operation === 'written') throw new Error('killed')
    }
    assert.equal((await world.sync()).status, 'failed')
    world.right.fault = () => {}
    assert.match(await warnings(world), /first recover 2 writes/)
    await world.sync()
    assert.equal(await warnings(world), '')
    assert.equal(world.right.rows('contacts').length, 2)
  })
})
