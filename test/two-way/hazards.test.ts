/** Hazards of two-way sync, told in memory. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SyncError } from '../../src/core/error.ts'
import type { Row } from '../../src/core/value.ts'
import { runSync } from '../../src/engine/runs/run-sync.ts'
import { contactsSync, field, schemaOf, World } from './world.ts'

const ann = [1, 'Ann', 'ann@x.org', '1'] as const

async function writes(world: World): Promise<number> {
  const record = await world.sync()
  assert.equal(record.error, null, record.error?.message)
  return World.writes(record)
}

describe('echoes (hazard 16)', () => {
  test('hazard 16: an edit right after our write is no echo, also if it undoes the write', async () => {
    const world = new World()
    world.left.put('contacts', ann)
    await writes(world)
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'])
    world.right.fault = (operation) => {
      if (operation === 'written') world.right.put('contacts', [2001, 'Ann', 'ann@x.org', '1'])
    }
    assert.equal(await writes(world), 1)
    world.right.fault = () => {}
    assert.equal(await writes(world), 1)
    assert.deepEqual(world.values('left'), [['Ann', 'ann@x.org', '1']])
    assert.equal(await writes(world), 0)
  })

  test('hazard 16: an edit of another field between the read and the write is neither lost nor taken for ours', async () => {
    const world = new World()
    world.left.put('contacts', ann)
    await writes(world)
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'])
    let once = true
    world.right.fault = (operation) => {
      if (operation === 'write' && once) world.right.put('contacts', [2001, 'Ann', 'ann@x.org', '9'])
      if (operation === 'write') once = false
    }
    await writes(world)
    await writes(world)
    assert.deepEqual(world.values('left'), [['Anna', 'ann@x.org', '9']])
    assert.deepEqual(world.values('right'), world.values('left'))
    assert.equal(await writes(world), 0)
  })
})

describe('a create whose answer is lost (hazard 17)', () => {
  test('hazard 17: is found again by its id, and not done twice', async () => {
    const world = new World({ match: [] })
    world.left.put('contacts', ann, [2, 'Bob', 'bob@x.org', '2'])
    let lost = 0
    world.right.fault = (operation) => {
      if (operation === 'written' && lost++ === 0) throw new SyncError('CONNECTION_LOST', 'the answer is lost')
    }
    assert.equal(await writes(world), 2)
    assert.equal(lost > 0, true)
    assert.equal(world.right.rows('contacts').length, 2)
    assert.equal(await writes(world), 0)
  })

  test('hazard 17: half a batch done, and then nobody answers: the half is known, the rest follows', async () => {
    const world = new World({ match: [] })
    for (let id = 1; id <= 10; id++) world.left.put('contacts', [id, `n${id}`, `${id}@x.org`, null])
    let count = 0
    world.right.fault = (operation) => {
      if (operation === 'write' && ++count === 6) throw new SyncError('CONNECTION_LOST', 'nobody answers')
    }
    assert.equal(await writes(world), 10)
    assert.equal(world.right.rows('contacts').length, 10)
    assert.equal(await writes(world), 0)
  })
})

test('a row that was gone at the first look of a batch is not written without its match when a second one would find it', async () => {
  const world = new World({ onConflict: 'left', batch: { rows: 2, bytes: 1_000_000 } })
  const bob = [2, 'Bob', 'bob@x.org', '2'] as const
  world.left.put('contacts', ann, bob)
  world.right.put('contacts', [7, 'Anna', 'ann@x.org', '1'])
  let looks = 0
  world.left.fault = (operation) => {
    if (operation !== 'lookup') return
    if (++looks === 1) world.left.delete('contacts', [1])
    else world.left.put('contacts', ann)
  }
  await writes(world)
  const bobs = bob.slice(1)
  assert.deepEqual(world.values('right'), [['Anna', 'ann@x.org', '1'], bobs])
  assert.ok(looks > 0)
})

test('a row that was gone when its match was looked for is not found again by a later batch of the run, and doubled', async () => {
  const world = new World({ onConflict: 'left', batch: { rows: 1, bytes: 1_000_000 } })
  world.left.put('contacts', ann)
  world.right.put('contacts', [7, 'Anna', 'ann@x.org', '1'])
  let looks = 0
  world.right.fault = (operation) => {
    if (operation !== 'lookup') return
    if (++looks === 1) world.right.delete('contacts', [7])
    else world.right.put('contacts', [7, 'Anna', 'ann@x.org', '1'])
  }
  await writes(world)
  assert.deepEqual(world.values('left'), [ann.slice(1)])
  assert.ok(looks > 0)
})

describe('clocks that are wrong (hazard 21)', () => {
  const stamped = {
    onConflict: 'newest' as const,
    stamp: { left: { field: 'phone', as: null }, right: { field: 'phone', as: null } },
    fields: [field('name'), field('email')],
  }
  for (const [skew, ms] of [
    ['behind', -1e11],
    ['ahead', 1e11],
  ] as const)
    test(`hazard 21: our own, far ${skew}: the rows' stamps decide`, async () => {
      const world = new World(stamped)
      world.left.put('contacts', [1, 'Ann', 'ann@x.org', '2026-01-01'])
      await writes(world)
      world.now += ms
      world.left.put('contacts', [1, 'L', 'ann@x.org', '2026-01-03'])
      world.right.put('contacts', [2001, 'R', 'ann@x.org', '2026-01-02'])
      await writes(world)
      assert.equal(world.right.rows('contacts')[0]?.[1], 'L')
      assert.match((await world.conflicts('resolved'))[0]?.fields.name?.values ?? '', /"R"/)
    })

  test('hazard 21: where the stamps do not tell which was later, a person is asked', async () => {
    for (const [left, right] of [
      ['2026-01-01', '2026-01-01'],
      ['2026-01-01T10:00:00.4Z', '2026-01-01 10:00:00'],
      [null, '2026-01-01'],
      ['2026-01-01', null],
      ['yesterday', '2026-01-01'],
      [null, null],
    ] as const) {
      const world = new World(stamped)
      world.left.put('contacts', [1, 'Ann', 'ann@x.org', left])
      await writes(world)
      world.left.put('contacts', [1, 'L', 'ann@x.org', left])
      world.right.put('contacts', [2001, 'R', 'ann@x.org', right])
      assert.equal(await writes(world), 0)
      assert.deepEqual([world.left.rows('contacts')[0]?.[1], world.right.rows('contacts')[0]?.[1]], ['L', 'R'])
      assert.equal((await world.conflicts('open')).length, 1)
    }
  })
})

describe('a value that can not cross over (hazard 23)', () => {
  test('hazard 23: stops its own row only, is counted on every run, and follows once it can', async () => {
    const world = new World({ fields: [field('name'), field('email'), field('phone', { type: 'integer' })] })
    world.left.put('contacts', ann, [2, 'Bob', 'bob@x.org', 'none'], [3, 'Cid', 'cid@x.org', '3'])
    for (let run = 0; run < 2; run++) {
      const record = await world.sync()
      assert.deepEqual([record.error?.code, record.rejected], ['ROWS_REJECTED', 1])
    }
    assert.equal(world.right.rows('contacts').length, 2)
    world.left.put('contacts', [3, 'Cid', 'cid@x.org', 'neither'])
    assert.equal((await world.sync()).rejected, 2)
    world.left.put('contacts', [2, 'Bob', 'bob@x.org', '2'], [3, 'Cid', 'cid@x.org', '4'])
    assert.equal(await writes(world), 2)
    assert.deepEqual(world.values('right'), world.values('left'))
    assert.equal(await writes(world), 0)
  })

  test('hazard 23: a function that throws stops its own row only', async () => {
    const toRight = (value: unknown) => {
      if (value === 'Bob') throw new Error('no Bobs')
      return value
    }
    const world = new World({ fields: [field('name', { toRight, toLeft: (value) => value }), field('email')] })
    world.left.put('contacts', ann, [2, 'Bob', 'bob@x.org', '2'])
    assert.equal((await world.sync()).rejected, 1)
    assert.deepEqual(
      world.right.rows('contacts').map(([, name]) => name),
      ['Ann'],
    )
  })
})

describe('two runs at once (hazard 24)', () => {
  test('hazard 24: whoever was overtaken at any call to a system writes nothing more', async () => {
    for (let stop = 1; ; stop++) {
      const world = new World()
      world.left.put('contacts', ann, [2, 'Bob', 'bob@x.org', '2'])
      world.right.put('contacts', [51, 'Cid', 'cid@x.org', '3'])
      let calls = 0
      const nested: Promise<unknown>[] = []
      const overtake = async (): Promise<void> => {
        if (++calls !== stop) return
        // The lease ran out; another process takes over and goes through.
        const run = runSync(world.syncs[0] ?? contactsSync(), world.project)
        nested.push(run)
        const { status } = await run
        assert.equal(status, 'succeeded')
      }
      world.left.fault = overtake
      world.right.fault = overtake
      const { status, error } = await world.sync()
      if (nested.length === 0) {
        assert.ok(stop > 15, `only ${stop} calls`)
        return
      }
      assert.ok(status === 'succeeded' || error?.code === 'LEASE_LOST', `${stop}: ${error?.message}`)
      world.left.fault = () => {}
      world.right.fault = () => {}
      await writes(world)
      assert.deepEqual(world.values('left'), world.values('right'))
      assert.equal(world.values('left').length, 3, `call ${stop}`)
      assert.equal(await writes(world), 0)
    }
  })
})

describe('systems that correct each other', () => {
  test('across the sync: the field is frozen within a few runs and reported, other fields go on', async () => {
    const world = new World({ onConflict: 'left' })
    world.left.put('contacts', ann)
    await writes(world)
    const set = (side: 'left' | 'right', name: string) => {
      const [id, , ...rest] = world[side].rows('contacts')[0] as Row
      world[side].put('contacts', [id ?? null, name, ...rest])
    }
    let written = 0
    for (let run = 0; run < 12; run++) {
      if (world.left.rows('contacts')[0]?.[1] !== 'X') set('left', 'X')
      else if (world.right.rows('contacts')[0]?.[1] !== 'Y') set('right', 'Y')
      written += await writes(world)
    }
    assert.ok(written <= 4, `${written} writes`)
    const [open] = await world.conflicts('open')
    assert.equal(open?.fields.name?.rule, 'oscillation')
    world.left.put('contacts', [1, 'X', 'new@x.org', '1'])
    await writes(world)
    assert.equal(world.right.rows('contacts')[0]?.[2], 'new@x.org')
  })
})

describe('a mapping that changes', () => {
  const narrow = [field('name'), field('email')]
  const wide = [...narrow, field('phone')]

  test('a field added later: rows stay as they are, differing or not, and edits flow from then on', async () => {
    const world = new World({ fields: narrow })
    for (let id = 1; id <= 20; id++) {
      world.left.put('contacts', [id, `n${id}`, `${id}@x.org`, `left ${id}`])
      world.right.put('contacts', [50 + id, `n${id}`, `${id}@x.org`, id % 2 === 0 ? null : `right ${id}`])
    }
    assert.equal(await writes(world), 0)
    world.syncs = [contactsSync({ fields: wide })]
    for (let run = 0; run < 3; run++) assert.equal(await writes(world), 0)
    assert.equal((await world.conflicts()).length, 0)
    world.right.put('contacts', [51, 'n1', '1@x.org', 'edited'])
    assert.equal(await writes(world), 1)
    assert.equal(world.left.rows('contacts')[0]?.[3], 'edited')
  })

  test('a field removed and added again: nothing is wiped, and what changed meanwhile does not flow', async () => {
    const world = new World({ fields: wide })
    world.left.put('contacts', ann)
    await writes(world)
    world.syncs = [contactsSync({ fields: narrow })]
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', 'meanwhile'])
    assert.equal(await writes(world), 1)
    assert.equal(world.right.rows('contacts')[0]?.[3], '1')
    world.syncs = [contactsSync({ fields: wide })]
    assert.equal(await writes(world), 0)
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', 'later'])
    assert.equal(await writes(world), 1)
    assert.equal(world.right.rows('contacts')[0]?.[3], 'later')
  })

  test('an edit made before a field came, and one of another field: only what was in the mapping flows', async () => {
    const world = new World({ fields: narrow })
    world.left.put('contacts', ann)
    await writes(world)
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', '7'])
    world.syncs = [contactsSync({ fields: wide })]
    assert.equal(await writes(world), 1)
    assert.deepEqual(world.values('right'), [['Anna', 'ann@x.org', null]])
  })

  test('bases as values, then as hashes, then as values: nothing is written', async () => {
    const world = new World({ onConflict: 'left' })
    for (let id = 1; id <= 5; id++) world.left.put('contacts', [id, `n${id}`, `${id}@x.org`, null])
    await writes(world)
    for (const bases of ['hash', 'values', 'hash'] as const) {
      world.syncs = [contactsSync({ onConflict: 'left', bases })]
      assert.equal(await writes(world), 0)
      assert.equal(await writes(world), 0)
    }
    world.right.put('contacts', [2001, 'edited', '1@x.org', null])
    assert.equal(await writes(world), 1)
    assert.equal(world.left.rows('contacts')[0]?.[1], 'edited')
  })
})

describe('one way into a table that others write to', () => {
  test('rows that are not paired are never touched, and edits and deletions there do not come back', async () => {
    const world = new World({ direction: 'left-to-right' })
    world.left.put('contacts', ann, [2, 'Bob', 'bob@x.org', '2'])
    const others = [
      [51, 'Eva', 'eva@x.org', '5'],
      [52, 'Fay', 'fay@x.org', '6'],
    ] as const
    world.right.put('contacts', ...others)
    assert.equal(await writes(world), 2)
    world.left.delete('contacts', [2])
    world.right.put('contacts', [51, 'Eve', 'eva@x.org', '5'])
    assert.equal(await writes(world), 1)
    world.right.delete('contacts', [2001])
    assert.equal(await writes(world), 0)
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'])
    await writes(world)
    const there = world.right.rows('contacts').filter(([id]) => id === 51 || id === 52)
    assert.deepEqual(there, [[51, 'Eve', 'eva@x.org', '5'], others[1]])
    assert.equal(world.left.rows('contacts').length, 1)
    assert.equal(await writes(world), 0)
  })
})

describe('references between syncs', () => {
  const orderFields = { id: 'integer', number: 'text', contact: 'integer' } as const
  const orders = contactsSync({
    id: 'orders',
    left: { connection: 'left', collection: 'orders' },
    right: { connection: 'right', collection: 'orders' },
    match: [{ field: 'number', by: null }],
    fields: [field('number'), field('contact', { references: 'contacts' })],
  })

  function shop(): World {
    const world = new World()
    world.syncs = [...world.syncs, orders]
    for (const side of ['left', 'right'] as const) world[side].create(schemaOf('orders', orderFields, ['id']))
    return world
  }

  test('a key is translated through the pairs of its sync, both ways', async () => {
    const world = shop()
    world.left.put('contacts', ann)
    world.left.put('orders', [10, 'A', 1])
    await world.sync()
    const [there] = world.right.rows('orders')
    assert.deepEqual(there?.slice(1), ['A', 2001])
    world.right.put('contacts', [77, 'Bob', 'bob@x.org', null])
    world.right.put('orders', [there?.[0] ?? null, 'A', 77])
    await world.sync()
    const bob = world.left.rows('contacts').find(([, name]) => name === 'Bob')
    assert.deepEqual(world.left.rows('orders'), [[10, 'A', bob?.[0] ?? null]])
    for (const sync of world.syncs) assert.equal(World.writes(await runSync(sync, world.project)), 0)
  })

  test('a missing parent defers its row, and the row is not lost', async () => {
    const world = shop()
    world.left.put('orders', [10, 'A', 1], [11, 'B', null])
    await world.sync()
    assert.deepEqual(
      world.right.rows('orders').map(([, number]) => number),
      ['B'],
    )
    world.left.put('contacts', ann)
    await world.sync()
    const [parent] = world.right.rows('contacts')
    assert.deepEqual(world.values('right', 'orders'), [
      ['A', parent?.[0] ?? null],
      ['B', null],
    ])
    assert.equal(World.writes(await world.sync()), 0)
  })

  test('a reference that is set to a missing parent defers the field, not the others', async () => {
    const world = shop()
    world.left.put('contacts', ann)
    world.left.put('orders', [10, 'A', 1])
    await world.sync()
    world.left.put('orders', [10, 'A2', 99])
    await world.sync()
    assert.deepEqual(world.right.rows('orders')[0]?.slice(1), ['A2', 2001])
    world.left.put('contacts', [99, 'Zoe', 'zoe@x.org', null])
    await world.sync()
    const zoe = world.right.rows('contacts').find(([, name]) => name === 'Zoe')
    assert.deepEqual(world.right.rows('orders')[0]?.slice(1), ['A2', zoe?.[0] ?? null])
    assert.equal(World.writes(await world.sync()), 0)
  })

  test('rows that refer to each other are inserted without the reference and patched', async () => {
    const world = new World(
      {
        fields: [field('name'), field('email'), field('phone', { references: 'contacts' })],
        cycle: ['contacts'],
      },
      {
        left: { id: 'integer', name: 'text', email: 'text', phone: 'integer' },
        right: { id: 'integer', name: 'text', email: 'text', phone: 'integer' },
      },
    )
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', 2], [2, 'Bob', 'bob@x.org', 1], [3, 'Cid', 'cid@x.org', 3])
    for (let run = 0; run < 2; run++) await writes(world)
    const names = new Map(world.right.rows('contacts').map(([id, name]) => [id, name]))
    assert.deepEqual(
      world.right.rows('contacts').map(([, name, , boss]) => [name, names.get(boss ?? null)]),
      [
        ['Ann', 'Bob'],
        ['Bob', 'Ann'],
        ['Cid', 'Cid'],
      ],
    )
    assert.equal(await writes(world), 0)
  })
})

describe('a side that is restored from a backup', () => {
  test('rows made since are not deleted behind anybody’s back, and nothing is doubled', async () => {
    const world = new World()
    for (let id = 1; id <= 20; id++) world.left.put('contacts', [id, `n${id}`, `${id}@x.org`, null])
    await writes(world)
    const backup = {
      tables: world.right.tables,
      seq: world.right.seq,
      fences: world.right.fences,
      results: world.right.results,
    }
    for (let id = 21; id <= 60; id++) world.left.put('contacts', [id, `n${id}`, `${id}@x.org`, null])
    world.left.put('contacts', [1, 'changed', '1@x.org', null])
    await writes(world)
    Object.assign(world.right, backup)
    const held = await world.sync()
    assert.deepEqual([held.status, held.deleted], ['held', 0])
    assert.equal(world.left.rows('contacts').length, 60)
    assert.equal(world.right.rows('contacts').length, 20)
  })
})
