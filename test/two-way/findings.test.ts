/** What proofs of two-way sync found, each as small as it can be. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { defaults } from '../../src/core/sync.ts'
import { contactsSync, field, World } from './world.ts'

const oneByOne = { batch: { rows: 1, bytes: defaults.batch.bytes } }

describe('rows that meet', () => {
  test('in a batch of the one are not inserted in a batch of the other', async () => {
    // Of a declared type, so that rows are looked at one by one.
    const world = new World({ ...oneByOne, fields: [field('name', { type: 'text' }), field('email'), field('phone')] })
    for (let id = 1; id <= 3; id++) {
      world.left.put('contacts', [id, 'Ann', `${id}@x.org`, '1'])
      world.right.put('contacts', [50 + id, 'Ann', `${id}@x.org`, '1'])
    }
    const record = await world.sync()
    assert.deepEqual([record.status, World.writes(record)], ['succeeded', 0])
    assert.equal(world.left.rows('contacts').length, 3)
  })
})

describe('a one-way field', () => {
  test('of a row created where it flows to: the value written over is on record', async () => {
    const fields = [field('name'), field('email'), field('phone', { direction: 'left-to-right', edits: 'revert' })]
    const world = new World({ fields })
    world.right.put('contacts', [51, 'Ann', 'ann@x.org', '1'])
    await world.sync()
    await world.sync()
    assert.deepEqual(world.values('right'), [['Ann', 'ann@x.org', null]])
    assert.match((await world.conflicts('resolved'))[0]?.fields.phone?.values ?? '', /"1"/)
  })

  test('edited where it flows to, in a row that the other side deletes: the edit is on record', async () => {
    const world = new World({ fields: [field('name'), field('email'), field('phone', { direction: 'left-to-right' })] })
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'], [2, 'Bob', 'bob@x.org', '2'])
    await world.sync()
    world.right.put('contacts', [2001, 'Ann', 'ann@x.org', '9'])
    world.left.delete('contacts', [1])
    assert.equal((await world.sync()).deleted, 1)
    assert.match((await world.conflicts('resolved'))[0]?.fields.phone?.values ?? '', /"9"/)
  })

  test('edited where it flows to, and later where it flows from: the ignored edit is on record', async () => {
    const world = new World({ fields: [field('name'), field('email'), field('phone', { direction: 'left-to-right' })] })
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
    await world.sync()
    world.right.put('contacts', [2001, 'Ann', 'ann@x.org', '9'])
    assert.equal(World.writes(await world.sync()), 0)
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', '2'])
    await world.sync()
    assert.deepEqual(world.values('right'), [['Ann', 'ann@x.org', '2']])
    assert.match((await world.conflicts('resolved'))[0]?.fields.phone?.values ?? '', /"9"/)
  })
})

describe('a decision with a write on each side', () => {
  test('one of which comes too late: what the other wrote over is on record', async () => {
    const world = new World({ onConflict: 'left' })
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
    await world.sync()
    world.left.put('contacts', [1, 'L', 'ann@x.org', '1'])
    world.right.put('contacts', [2001, 'R', 'ann@x.org', '2'])
    let once = true
    world.left.fault = (operation) => {
      if (operation === 'write' && once) world.left.put('contacts', [1, 'L', 'ann@x.org', '3'])
      if (operation === 'write') once = false
    }
    await world.sync()
    assert.deepEqual(world.values('left'), [['L', 'ann@x.org', '3']])
    assert.deepEqual(world.values('right'), [['L', 'ann@x.org', '3']])
    const names = (await world.conflicts('resolved')).map(({ fields }) => Object.keys(fields))
    assert.deepEqual(names.flat().sort(), ['name', 'phone'])
  })

  test('of a value that is neither side’s is one conflict', async () => {
    const world = new World({ onConflict: (_base, left, right) => `${left}+${right}` })
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
    await world.sync()
    world.left.put('contacts', [1, 'L', 'ann@x.org', '1'])
    world.right.put('contacts', [2001, 'R', 'ann@x.org', '1'])
    await world.sync()
    assert.equal((await world.conflicts('resolved')).length, 1)
  })
})

describe('a key that the system gives again', () => {
  test('to a row that the run inserts, while the pair that had it waits to be deleted', async () => {
    const world = new World()
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'], [3, 'Cid', 'cid@x.org', '3'])
    await world.sync()
    world.right.delete('contacts', [2001])
    world.left.put('contacts', [4, 'Dan', 'dan@x.org', '4'])
    world.right.assigned = 2000
    assert.equal((await world.sync()).error, null)
    assert.deepEqual(world.values('left'), [
      ['Cid', 'cid@x.org', '3'],
      ['Dan', 'dan@x.org', '4'],
    ])
    assert.deepEqual(world.values('right'), world.values('left'))
    assert.equal(World.writes(await world.sync()), 0)
  })

  test('while the pair that had it waits for a person, and the definition of the sync changed', async () => {
    const world = new World({ onDeleteConflict: 'ask' })
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
    await world.sync()
    world.right.delete('contacts', [2001])
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'], [2, 'Dan', 'dan@x.org', '4'])
    world.right.assigned = 2000
    world.syncs = [contactsSync({ onDeleteConflict: 'ask', fields: [field('name'), field('email')] })]
    assert.equal((await world.sync()).error, null)
    assert.deepEqual(
      world.right.rows('contacts').map(([id, name]) => [id, name]),
      [[2001, 'Dan']],
    )
    assert.equal((await world.conflicts('open')).length, 1)
    assert.equal(World.writes(await world.sync()), 0)
  })

  test('to a row that comes back, while another pair had it', async () => {
    const world = new World()
    world.left.put('contacts', [1, 'Cid', 'cid@x.org', '3'])
    await world.sync()
    world.left.put('contacts', [2, 'Ann', 'ann@x.org', '1'], [3, 'Bob', 'bob@x.org', '2'])
    await world.sync()
    world.right.delete('contacts', [2002], [2003])
    world.left.put('contacts', [2, 'Anna', 'ann@x.org', '1'], [3, 'Bobby', 'bob@x.org', '2'])
    // Ann's new row gets the key that Bob's had.
    world.right.assigned = 2002
    assert.equal((await world.sync()).error, null)
    assert.deepEqual(world.values('right'), world.values('left'))
    assert.equal(world.values('right').length, 3)
    assert.equal(World.writes(await world.sync()), 0)
  })
})

describe('an open conflict', () => {
  test('is over when one side takes its edit back, and the other edit flows', async () => {
    const world = new World()
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
    await world.sync()
    world.left.put('contacts', [1, 'L', 'ann@x.org', '1'])
    world.right.put('contacts', [2001, 'R', 'ann@x.org', '1'])
    await world.sync()
    world.right.put('contacts', [2001, 'Ann', 'ann@x.org', '1'])
    await world.sync()
    assert.deepEqual(world.values('right'), [['L', 'ann@x.org', '1']])
    assert.equal((await world.conflicts('open')).length, 0)
  })
})

describe('an open delete conflict', () => {
  test('is over when the row is there again', async () => {
    const world = new World({ onDeleteConflict: 'ask' })
    world.left.put('contacts', [1, 'Ann', 'ann@x.org', '1'])
    await world.sync()
    world.right.delete('contacts', [2001])
    world.left.put('contacts', [1, 'Anna', 'ann@x.org', '1'])
    await world.sync()
    assert.equal((await world.conflicts('open')).length, 1)
    world.right.put('contacts', [2001, 'Ann', 'ann@x.org', '1'])
    await world.sync()
    assert.deepEqual(world.values('right'), world.values('left'))
    assert.deepEqual(
      (await world.conflicts()).map(({ status }) => status),
      ['agreed'],
    )
  })
})
