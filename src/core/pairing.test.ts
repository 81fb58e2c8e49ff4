import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SyncError } from './error.ts'
import { bindPairing, keyOfSide, plainField, same } from './pairing.ts'
import type { Schema } from './schema.ts'
import { defaults } from './sync.ts'
import type { PairField, TwoWaySync } from './two-way.ts'
import type { Type } from './value.ts'

function schemaOf(name: string, fields: Readonly<Record<string, Type>>, over: Partial<Schema> = {}): Schema {
  return {
    name,
    system: 'memory',
    key: ['id'],
    fields: Object.entries(fields).map(([field, type]) => ({
      name: field,
      type,
      native: '',
      nullable: field !== 'id',
      writable: field !== 'total',
    })),
    ...over,
  }
}

const left = schemaOf('people', { id: 'integer', email: 'text', age: 'integer', total: 'decimal', changed: 'instant' })
const right = schemaOf(
  'users',
  { uid: 'uuid', email: 'text', age: 'text', total: 'decimal', seen: 'instant' },
  { key: ['uid'] },
)

function bind(fields: readonly PairField[] | null, over: Partial<TwoWaySync> = {}, sides = { left, right }) {
  return bindPairing(
    {
      id: 's',
      left: { connection: 'l', collection: 'people' },
      right: { connection: 'r', collection: 'users' },
      match: [],
      fields,
      direction: 'both',
      onConflict: 'ask',
      onDeleteConflict: 'keep',
      deletes: 'propagate',
      stamp: null,
      key: { left: null, right: null },
      guard: defaults.guard,
      bases: 'values',
      batch: { rows: 1, bytes: 1 },
      journalDays: 1,
      schedule: { kind: 'manual' },
      cycle: [],
      ...over,
    },
    sides.left,
    sides.right,
  )
}

const field = (name: string, over: Partial<PairField> = {}): PairField => ({ ...plainField(name), ...over })

function refused(work: () => unknown): SyncError {
  try {
    work()
  } catch (error) {
    if (error instanceof SyncError) return error
  }
  throw new Error('it was not refused')
}

describe('what is read of each side', () => {
  test('the paired fields in order, then key and stamp', () => {
    const pairing = bind([field('age'), field('email')], {
      stamp: { left: { field: 'changed', as: null }, right: { field: 'seen', as: null } },
    })
    assert.deepEqual(pairing.left.fields, ['age', 'email', 'id', 'changed'])
    assert.deepEqual(pairing.right.fields, ['age', 'email', 'uid', 'seen'])
    assert.deepEqual([pairing.left.stampAt, pairing.right.stampAt], [3, 3])
    assert.deepEqual(keyOfSide(pairing.left, [30, 'a@x.org', 7, null]), [7])
  })

  test('without a list: every field of one name but what both sides generate; what one generates is left out or flows one way', () => {
    assert.ok(bind(null).fields.every(({ name }) => name !== 'total'))
    const one = { left, right: { ...right, fields: right.fields.map((of) => ({ ...of, writable: true })) } }
    const error = refused(() => bind(null, {}, one))
    assert.match(error.message, /total can't be written on the left side/)
    assert.match(error.hint ?? '', /direction/)
    const plain = {
      left: schemaOf('a', { id: 'integer', x: 'text' }),
      right: schemaOf('b', { id: 'integer', x: 'text', y: 'text' }),
    }
    assert.deepEqual(
      bind(null, {}, plain).fields.map(({ name }) => name),
      ['id', 'x'],
    )
    const away = schemaOf('c', { uid: 'integer' }, { key: ['uid'] })
    assert.match(refused(() => bind(null, {}, { left: plain.left, right: away })).message, /no field of one name/)
  })

  test('a generated field may flow away from where it is generated', () => {
    const sides = { left, right: { ...right, fields: right.fields.map((one) => ({ ...one, writable: true })) } }
    assert.equal(
      bind([field('total', { direction: 'left-to-right' })], {}, sides).fields[0]?.direction,
      'left-to-right',
    )
    assert.match(refused(() => bind([field('total', { direction: 'right-to-left' })], {}, sides)).message, /left side/)
  })

  test('a field that a side does not have, and a side without a key, are named', () => {
    assert.match(refused(() => bind([field('emial')])).message, /syncs\.s\.fields\.emial: people has no field "emial"/)
    assert.match(refused(() => bind([field('emial')])).hint ?? '', /email/)
    assert.equal(refused(() => bind([field('email')], {}, { left: { ...left, key: [] }, right })).code, 'KEY_MISSING')
    assert.match(refused(() => bind([field('email')], { match: [{ field: 'age', by: null }] })).message, /match: "age"/)
  })

  test('a sync’s own direction is every field’s', () => {
    assert.equal(bind([field('email')], { direction: 'left-to-right' }).fields[0]?.direction, 'left-to-right')
    assert.equal(
      bind([field('email', { direction: 'right-to-left' })], { direction: 'left-to-right' }).fields[0]?.direction,
      'left-to-right',
    )
  })
})

describe('how a value crosses over', () => {
  const code = (work: () => unknown) => refused(work).code

  test('by its type, and what does not fit is refused', () => {
    const [age] = bind([field('age')]).fields
    assert.equal(age?.cross('left', 30), '30')
    assert.equal(age?.cross('right', '30'), 30)
    assert.equal(age?.cross('right', null), null)
    assert.equal(
      code(() => age?.cross('right', 'thirty')),
      'VALUE_REFUSED',
    )
    assert.ok(
      age !== undefined && same(age, 30, '30') && same(age, 30, '030') && !same(age, 30, '31') && !same(age, 30, 'x'),
    )
  })

  test('by functions, which see NULL too, and whose failures are the value’s', () => {
    const [age] = bind([
      field('age', {
        toRight: (value) => (value === null ? 'unknown' : `${value} years`),
        toLeft: (value) => {
          if (value === 'boom') throw new Error('no idea')
          return value === 'unknown' ? null : Number.parseInt(String(value), 10)
        },
      }),
    ]).fields
    assert.equal(age?.cross('left', null), 'unknown')
    assert.equal(age?.cross('right', '30 years'), 30)
    const error = refused(() => age?.cross('right', 'boom'))
    assert.deepEqual(
      [error.code, error.message],
      ['VALUE_REFUSED', 'field age: a function of the config threw: no idea'],
    )
    assert.equal(
      code(() => age?.cross('right', 'many years')),
      'VALUE_REFUSED',
    )
    assert.ok(age !== undefined && same(age, null, 'unknown'))
  })
})

describe('what pairs rows', () => {
  test('equal values, whatever each side’s type spells', () => {
    const pairing = bind([field('age'), field('email')], {
      match: [
        { field: 'email', by: null },
        { field: 'age', by: null },
      ],
    })
    const there = pairing.matchOf('left', [30, 'a@x.org', 1])
    assert.notEqual(there, null)
    assert.equal(pairing.matchOf('right', ['30', 'a@x.org', 'u']), there)
    assert.equal(pairing.matchOf('right', ['030', 'a@x.org', 'u']), there)
    assert.notEqual(pairing.matchOf('right', ['31', 'a@x.org', 'u']), there)
    assert.equal(pairing.matchOf('right', ['thirty', 'a@x.org', 'u']), null)
  })

  test('a part that is NULL pairs nothing', () => {
    const pairing = bind([field('age'), field('email')], { match: [{ field: 'email', by: null }] })
    assert.equal(pairing.matchOf('left', [30, null, 1]), null)
    assert.equal(bind([field('email')]).matchOf('left', ['a@x.org', 1]), null)
  })

  test('by a function, on either side', () => {
    const by = (value: unknown) => (value === 'nobody' ? null : String(value).trim().toLowerCase())
    const pairing = bind([field('email')], { match: [{ field: 'email', by }] })
    assert.equal(pairing.matchOf('left', [' A@x.org', 1]), pairing.matchOf('right', ['a@X.org ', 'u']))
    assert.equal(pairing.matchOf('left', ['nobody', 1]), null)
  })
})
