/** A run that died after its writes, and a definition that changed before the next one recovers them. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { PairField, TwoWaySync } from '../../src/core/two-way.ts'
import { field, schemaOf, World } from './world.ts'

const [name, email, phone] = [field('name'), field('email'), field('phone')] as const
const definitions: Readonly<Record<string, Partial<TwoWaySync>>> = {
  'the same': {},
  'its fields reordered': { fields: [phone, email, name] },
  'a field less': { fields: [email, name] },
  'hashes for values': { bases: 'hash' },
  'fields reordered and hashes for values': { fields: [phone, name, email], bases: 'hash' },
}

/** The next run writes, and its process dies before it learns of that. */
async function dies(world: World): Promise<void> {
  const { pairs } = world.store
  const open = pairs.run.bind(pairs)
  pairs.run = async (...args) => {
    const run = await open(...args)
    const commit = run.commit.bind(run)
    return Object.assign(run, {
      commit: async (...of: Parameters<typeof commit>) => {
        const writes = of[1].carried.length > 0
        return writes ? Promise.reject(new Error('killed')) : await commit(...of)
      },
    })
  }
  assert.equal((await world.sync()).status, 'failed')
  pairs.run = open
}

function redefine(world: World, over: Partial<TwoWaySync>): void {
  world.syncs = world.syncs.map((sync) => ({ ...sync, ...over }))
}

async function fresh(fields: readonly PairField[] = [name, email, phone]): Promise<World> {
  const world = new World({ fields, guard: { maxDeletes: 10, maxDeleteShare: 1 } })
  world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
  world.right.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
  for (const side of ['left', 'right'] as const) world[side].put('contacts', [9, 'Zoe', 'zoe@x.org', '9'])
  assert.equal((await world.sync()).status, 'succeeded')
  return world
}

for (const [what, over] of Object.entries(definitions))
  describe(`point 6, hazard 37: recovery under a definition with ${what}`, () => {
    test('an edit that a person makes meanwhile stands, and nobody is asked', async () => {
      const world = await fresh()
      world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'])
      await dies(world)
      assert.deepEqual(world.right.rows('contacts')[0]?.[1], 'Anna')
      redefine(world, over)
      world.right.put('contacts', [1, 'Anne', 'ann@x.org', '2'])
      assert.equal((await world.sync()).status, 'succeeded')
      assert.deepEqual(world.left.rows('contacts')[0]?.slice(1, 3), ['Anne', 'ann@x.org'])
      assert.deepEqual(world.right.rows('contacts')[0], [1, 'Anne', 'ann@x.org', '2'])
      assert.deepEqual(await world.conflicts(), [])
      const written = await world.store.pairs.journal.ofRow('contacts', 'right', '[1]', 10)
      assert.deepEqual(
        written.filter(({ side }) => side === 'right').map(({ fields, before, after }) => [fields, before, after]),
        [[['name'], '["Ann"]', '["Anna"]']],
      )
      assert.equal(World.writes(await world.sync()), 0)
    })

    test('a row that was inserted is the same row, with what a person made of it', async () => {
      const world = await fresh()
      world.left.put('contacts', [2, 'Bob', 'bob@x.org', '7'])
      await dies(world)
      redefine(world, over)
      const inserted = world.right.rows('contacts').find((row) => row[1] === 'Bob')
      assert.ok(inserted)
      world.right.put('contacts', [inserted[0] ?? null, 'Rob', 'bob@x.org', '7'])
      assert.equal((await world.sync()).status, 'succeeded')
      assert.deepEqual(world.values('left'), world.values('right'))
      assert.deepEqual(
        world.values('left').map(([first]) => first),
        ['Ann', 'Rob', 'Zoe'],
      )
      assert.deepEqual(await world.conflicts(), [])
      assert.equal(World.writes(await world.sync()), 0)
    })

    test('a deletion is in the journal with the names that its values had', async () => {
      const world = await fresh()
      world.left.delete('contacts', [1])
      await dies(world)
      redefine(world, over)
      assert.equal((await world.sync()).status, 'succeeded')
      const [entry] = await world.store.pairs.journal.ofRow('contacts', 'right', '[1]', 10)
      const values = JSON.parse(entry?.before ?? '[]') as unknown[]
      const before = Object.fromEntries((entry?.fields ?? []).map((of, at) => [of, values[at]]))
      const gone = { name: 'Ann', email: 'ann@x.org', phone: '1' }
      assert.deepEqual(before, over.fields?.length === 2 ? { name: 'Ann', email: 'ann@x.org' } : gone)
    })
  })

test('point 6, hazard 37: a field that came to the mapping meanwhile is taken from where it is', async () => {
  const world = await fresh([email, name])
  world.left.put('contacts', [2, 'Bob', 'bob@x.org', '7'])
  await dies(world)
  redefine(world, { fields: [phone, name, email] })
  assert.equal((await world.sync()).status, 'succeeded')
  assert.deepEqual(world.values('right'), world.values('left'))
  assert.deepEqual(world.values('right').at(1), ['Bob', 'bob@x.org', '7'])
})

test('point 6, hazard 37: pairs of a key whose fields come in another order stop the sync before anything is written', async () => {
  const fields = { tenant: 'integer', id: 'integer', name: 'text', email: 'text', phone: 'text' } as const
  const world = new World({}, { left: fields })
  const made = (key: readonly string[]) => {
    const rows = world.left.rows('contacts')
    world.left.create(schemaOf('contacts', fields, key))
    return rows
  }
  made(['tenant', 'id'])
  world.left.put('contacts', [1, 2, 'Ann', 'ann@x.org', '1'], [2, 1, 'Bob', 'bob@x.org', '2'])
  assert.equal((await world.sync()).status, 'succeeded')
  world.left.put('contacts', ...made(['id', 'tenant']))
  const record = await world.sync()
  assert.deepEqual([record.status, record.error?.code, World.writes(record)], ['held', 'SCHEMA_DRIFT', 0])
  assert.match(record.error?.message ?? '', /the key of left\.contacts changed from tenant, id to id, tenant/)
})
