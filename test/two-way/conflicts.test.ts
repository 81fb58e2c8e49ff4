/** What becomes of conflicts on record when the world around them changes. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Row } from '../../src/core/value.ts'
import { resolveConflict } from '../../src/engine/two-way/resolve.ts'
import { contactsSync, field, World } from './world.ts'

const narrow = [field('email'), field('phone')]
const wide = [field('name'), ...narrow]

/** Ann has another name on each side. */
async function disagreeing(): Promise<World> {
  const world = new World({ fields: wide })
  world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
  await world.sync()
  world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'])
  world.right.put('contacts', [2001, 'Annie', 'ann@x.org', '1'])
  await world.sync()
  assert.equal((await world.conflicts('open')).length, 1)
  return world
}

async function decide(world: World): Promise<void> {
  const [conflict] = await world.conflicts('open')
  assert.ok(conflict !== undefined && world.syncs[0] !== undefined)
  await resolveConflict(conflict, world.syncs[0], world.project, { take: 'left', set: {} })
}

describe('a conflict about a field that leaves the mapping', () => {
  for (const decided of [false, true])
    test(`is over, ${decided ? 'also when it was decided' : 'open or not'}, and says why; both sides keep their values`, async () => {
      const world = await disagreeing()
      if (decided) await decide(world)
      world.syncs = [contactsSync({ fields: narrow })]
      assert.equal(World.writes(await world.sync()), 0)
      const [over] = await world.conflicts()
      assert.deepEqual([over?.status, over?.fields.name?.status], ['agreed', 'agreed'])
      assert.match(over?.fields.name?.note ?? '', /left the mapping/)
      assert.match(over?.fields.name?.values ?? '', /"Anna","Annie"/)
      const names = [world.left, world.right].map((system) => system.rows('contacts')[0]?.[1])
      assert.deepEqual(names, ['Anna', 'Annie'])
      // The rest of the row goes on, and the field comes back as a new one.
      world.left.put('contacts', [1, 'Anna', 'ann@x.org', '2'])
      assert.equal(World.writes(await world.sync()), 1)
      world.syncs = [contactsSync({ fields: wide })]
      assert.equal(World.writes(await world.sync()), 0)
      assert.equal((await world.conflicts()).length, 1)
    })

  test('and of one that stays: that one is still open', async () => {
    const world = new World({ fields: wide })
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
    await world.sync()
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', '2'])
    world.right.put('contacts', [2001, 'Annie', 'ann@x.org', '3'])
    await world.sync()
    world.syncs = [contactsSync({ fields: narrow })]
    await world.sync()
    const [record] = await world.conflicts()
    assert.deepEqual([record?.status, record?.fields.phone?.status], ['open', 'open'])
    assert.equal(record?.fields.name?.status, 'agreed')
  })

  test('that only gets another name goes on under that name', async () => {
    const world = await disagreeing()
    world.syncs = [contactsSync({ fields: [field('title', { left: 'name', right: 'name' }), ...narrow] })]
    await world.sync()
    const open = await world.conflicts('open')
    assert.deepEqual(
      open.map(({ fields }) => Object.entries(fields).map(([name, { status }]) => [name, status])),
      [
        [
          ['name', 'agreed'],
          ['title', 'open'],
        ],
      ],
    )
  })

  test('a field frozen because it swings is let go, too', async () => {
    const world = new World({ fields: wide, onConflict: 'left' })
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
    await world.sync()
    const set = (side: 'left' | 'right', name: string) => {
      const [id, , ...rest] = world[side].rows('contacts')[0] as Row
      world[side].put('contacts', [id ?? null, name, ...rest])
    }
    for (let run = 0; run < 12; run++) {
      if (world.left.rows('contacts')[0]?.[1] !== 'X') set('left', 'X')
      else if (world.right.rows('contacts')[0]?.[1] !== 'Y') set('right', 'Y')
      await world.sync()
    }
    assert.equal((await world.conflicts('open'))[0]?.fields.name?.rule, 'oscillation')
    world.syncs = [contactsSync({ fields: narrow, onConflict: 'left' })]
    await world.sync()
    assert.equal((await world.conflicts('open')).length, 0)
    assert.match((await world.conflicts('agreed'))[0]?.fields.name?.note ?? '', /left the mapping/)
  })
})
