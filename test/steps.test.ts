/** What a run tells of its steps, on both paths: each once, in its place, and never a value. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { StepEvent } from '../src/core/event.ts'
import type { Schema } from '../src/core/schema.ts'
import type { FieldRule } from '../src/core/sync.ts'
import type { Row } from '../src/core/value.ts'
import { field, inWorld, orders, someOrders, type World } from './scenarios/world.ts'
import { contactsSync, World as Pair, field as pairField } from './two-way/world.ts'

/** Totals with a fraction are refused. */
const wholeTotals = new Map<string, FieldRule>([
  ['id', { kind: 'from', from: 'id' }],
  ['total', { kind: 'from', from: 'total', type: 'integer' }],
])

function alter({ left }: World, fields: Schema['fields']): void {
  const table = left.table('orders')
  left.tables = new Map(left.tables).set('orders', { ...table, schema: { ...table.schema, fields } })
}

/** Steps without the names of their run. */
function short(steps: readonly StepEvent[]): readonly string[] {
  return steps.map(line)
}

function line(step: StepEvent): string {
  switch (step.event) {
    case 'batch.applying':
      return `applying ${step.batch}`
    case 'batch.applied':
      return `applied ${step.batch}: ${step.inserted}+${step.updated}-${step.deleted}`
    case 'row.rejected':
      return `rejected ${step.side} ${step.code}`
    case 'conflict.opened':
      return `opened ${step.conflict} ${step.kind} ${step.fields.join()} ${step.status}`
    case 'conflict.resolved':
      return `resolved ${step.conflict} ${step.status}`
    case 'schema.changed':
      return `schema ${step.applied}: ${step.changes.join()}`
  }
}

describe('a one-way run tells', () => {
  test(
    'of each batch before and after it, of deletions as a batch, and of nothing when nothing is written',
    inWorld(async (world) => {
      const sync = { batch: { rows: 2, bytes: 1e9 } }
      world.put(...someOrders(3))
      await world.run(sync)
      assert.deepEqual(short(world.steps.splice(0)), [
        'schema true: create orders (3 columns)',
        ...['applying 1', 'applied 1: 3+0-0'],
      ])
      await world.run(sync)
      assert.equal(world.steps.length, 0)
      world.put([1, 'paid', null])
      world.delete(2)
      const run = await world.run(sync)
      assert.deepEqual(short(world.steps), ['applying 1', 'applied 1: 0+1-0', 'applying 2', 'applied 2: 0+0-1'])
      assert.ok(world.steps.every((step) => step.run === run.id && step.sync === 'orders'))
    }),
  )

  test(
    'of a change of the schema, also of one that it can’t follow',
    inWorld(async (world) => {
      world.put(...someOrders(1))
      await world.run()
      world.steps.length = 0
      alter(world, [...orders.fields, field('note', 'text')])
      await world.run()
      assert.match(short(world.steps)[0] ?? '', /^schema true: add column note/)
      world.steps.length = 0
      alter(world, [field('id', 'integer'), field('status', 'integer')])
      assert.equal((await world.run()).status, 'held')
      assert.match(short(world.steps)[0] ?? '', /^schema false: column status changed/)
    }),
  )

  test(
    'of a refused row once, by a hash of its key; of at most a hundred in a run',
    inWorld(async (world) => {
      world.sync = { ...world.sync, fields: wholeTotals }
      world.put([1, 'fine', '1'], [7_654_321, 'canary-value', '1.5'])
      await world.run()
      const told = world.steps.splice(0).filter(({ event }) => event === 'row.rejected')
      assert.deepEqual(short(told), ['rejected null VALUE_REFUSED'])
      assert.match(JSON.stringify(told), /"keyHash":"[0-9a-f]{16}"/)
      assert.doesNotMatch(JSON.stringify(told), /canary|7654321/)
      await world.run({ mode: 'full' })
      assert.deepEqual(world.steps.splice(0), [])
      world.put(...someOrders(500))
      await world.run({ fields: wholeTotals })
      assert.equal(world.steps.filter(({ event }) => event === 'row.rejected').length, 100)
    }),
  )

  test(
    'of a batch that was not committed only that it was to be written',
    inWorld(async (world) => {
      world.put(...someOrders(100))
      await world.run()
      world.steps.length = 0
      world.delete(...Array.from({ length: 90 }, (_, at) => at + 1))
      assert.equal((await world.run()).status, 'held')
      assert.deepEqual(short(world.steps), ['applying 1'])
    }),
  )
})

describe('a two-way run tells', () => {
  const fields = [pairField('name'), pairField('email'), pairField('phone')]

  test('of each batch, of a conflict that waits for a person and of its end, with its id', async () => {
    const world = new Pair({ fields })
    world.left.put('contacts', [1, 'Ann', 'canary@x.org', '1'])
    await world.sync()
    assert.deepEqual(short(world.steps.splice(0)), ['applying 1', 'applied 1: 1+0-0'])
    world.left.put('contacts', [1, 'Anna', 'canary@x.org', '1'])
    world.right.put('contacts', [2001, 'Annie', 'canary@x.org', '1'])
    await world.sync()
    const [conflict] = await world.conflicts('open')
    assert.deepEqual(short(world.steps.splice(0)), [`opened ${conflict?.id} fields name open`])
    await world.sync()
    assert.equal(world.steps.length, 0)
    world.right.put('contacts', [2001, 'Anna', 'canary@x.org', '1'])
    await world.sync()
    assert.deepEqual(short(world.steps), [`resolved ${conflict?.id} agreed`])
    assert.doesNotMatch(JSON.stringify(world.steps), /canary|Ann/)
  })

  test('of a conflict that a rule decides as opened and over', async () => {
    const world = new Pair({ fields: fields, onConflict: 'left' })
    world.left.put('contacts', [1, 'Ann', 'a@x.org', '1'])
    await world.sync()
    world.steps.length = 0
    world.left.put('contacts', [1, 'Anna', 'a@x.org', '1'])
    world.right.put('contacts', [2001, 'Annie', 'a@x.org', '1'])
    await world.sync()
    assert.deepEqual(short(world.steps), [
      ...['applying 1', 'opened 1 fields name resolved', 'resolved 1 resolved', 'applied 1: 0+1-0'],
    ])
  })

  test('of a match that is not unique, and of its end', async () => {
    const world = new Pair({ fields })
    const rows: readonly Row[] = [
      [1, 'Ann', 'a@x.org', '1'],
      [2, 'Bo', 'a@x.org', '1'],
    ]
    world.left.put('contacts', ...rows)
    world.right.put('contacts', [2001, 'Ann', 'a@x.org', '1'])
    await world.sync()
    assert.match(short(world.steps).join(), /opened 1 match email open/)
    world.steps.length = 0
    world.left.delete('contacts', [2])
    await world.sync()
    assert.match(short(world.steps).join(), /resolved 1 agreed/)
  })

  test('of a refused row once, and of fields that come and go', async () => {
    const world = new Pair({ fields: [...fields.slice(0, 2), pairField('phone', { type: 'integer' })] })
    world.left.put('contacts', [1, 'Ann', 'a@x.org', 'none'])
    await world.sync()
    const told = world.steps.splice(0)
    assert.deepEqual(short(told.filter(({ event }) => event === 'row.rejected')), ['rejected left VALUE_REFUSED'])
    await world.sync()
    assert.deepEqual(
      world.steps.filter(({ event }) => event === 'row.rejected'),
      [],
    )
    world.steps.length = 0
    world.syncs = [contactsSync({ fields: fields.slice(0, 2) })]
    await world.sync()
    assert.equal(short(world.steps)[0], 'schema true: field phone has left the mapping')
  })
})
