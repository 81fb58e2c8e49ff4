import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { schemaOf } from '../testing/connector-harness.ts'
import { SyncError } from './error.ts'
import { bindMapping, type Loss } from './mapping.ts'
import { defaults, type FieldRule, type Sync } from './sync.ts'

const source = schemaOf({
  name: 'orders',
  fields: [
    { name: 'id', type: 'integer' },
    { name: 'total', type: 'decimal' },
    { name: 'note', type: 'text' },
    { name: 'ratio', type: 'float' },
  ],
  key: ['id'],
})

function sync(fields: Record<string, FieldRule> | null): Sync {
  return {
    id: 'orders',
    from: { connection: 'shop', collection: 'orders' },
    to: { connection: 'warehouse', collection: 'sold' },
    fields: fields === null ? null : new Map(Object.entries(fields)),
    where: null,
    key: null,
    cursor: null,
    mode: 'auto',
    deletes: 'propagate',
    adopt: false,
    ...defaults,
  }
}
const from = (name: string, type?: FieldRule['type']): FieldRule =>
  type === undefined ? { kind: 'from', from: name } : { kind: 'from', from: name, type }
const lossless = () => null
const bind = (fields: Record<string, FieldRule> | null) => bindMapping(sync(fields), source, lossless)

function refuses(fields: Record<string, FieldRule>, message: RegExp, code = 'CONFIG_INVALID'): void {
  assert.throws(
    () => bind(fields),
    (error) => error instanceof SyncError && error.code === code && message.test(error.message) && error.hint !== null,
  )
}

describe('a mapping', () => {
  test('without fields passes every row as it is', () => {
    const mapping = bind(null)
    const rows = [[1, '1.50', 'x', 0.5]]
    assert.ok(mapping.passes)
    assert.equal(mapping.map(rows).rows, rows)
    assert.deepEqual(mapping.selection, { fields: ['id', 'total', 'note', 'ratio'], where: null })
    assert.equal(mapping.schema.name, 'sold')
  })

  test('renames and leaves out fields by what it reads', () => {
    const mapping = bind({ amount: from('total'), number: from('id') })
    assert.ok(mapping.passes)
    assert.deepEqual(mapping.selection.fields, ['total', 'id'])
    assert.deepEqual(mapping.schema.key, ['number'])
    assert.deepEqual([mapping.keyAtSource, mapping.keyAtTarget], [[1], [1]])
  })

  test('reads a field twice under two names', () => {
    const mapping = bind({ id: from('id'), a: from('note'), b: from('note') })
    assert.deepEqual(mapping.map([[1, 'x', 'x']]).rows, [[1, 'x', 'x']])
  })

  test('converts to declared types, and rejects only the row whose value has none', () => {
    const mapping = bind({ id: from('id'), total: from('total', 'integer') })
    const { rows, rejects } = mapping.map([
      [1, '5.00'],
      [2, '5.50'],
      [3, null],
    ])
    assert.deepEqual(rows, [
      [1, 5],
      [3, null],
    ])
    assert.deepEqual(rejects, [
      { key: [2], code: 'VALUE_REFUSED', message: 'field total: a decimal that is no integer' },
    ])
  })

  test('computes fields from the whole row, whatever fields are mapped', () => {
    const mapping = bind({
      id: from('id'),
      label: { kind: 'compute', compute: (row) => `#${row.id} ${row.note} ${row.total}`, type: 'text', version: null },
    })
    assert.deepEqual(mapping.map([[7, '1.50', 'x', 0]]).rows, [[7, '#7 x 1.50']])
  })

  test('rejects only the row whose function throws or returns another type', () => {
    const compute: FieldRule = {
      kind: 'compute',
      compute: (row) => {
        if (row.id === 1) throw new Error('no')
        return row.id === 2 ? 'two' : 3
      },
      type: 'integer',
      version: null,
    }
    const { rows, rejects } = bind({ id: from('id'), n: compute }).map([1, 2, 3].map((id) => [id, null, null, null]))
    assert.deepEqual(rows, [[3, 3]])
    assert.deepEqual(
      rejects.map(({ key }) => key),
      [[1], [2]],
    )
    assert.match(rejects[0]!.message, /a function of the config threw: no/)
  })

  test('counts values that the target declares lost, and changes them before they are compared', () => {
    const loss: Loss = (value) => (Number.isNaN(value) ? null : value)
    const mapping = bindMapping(sync(null), source, (field) => (field.type === 'float' ? loss : null))
    const mapped = mapping.map([
      [1, null, null, Number.NaN],
      [2, null, null, 0.5],
    ])
    assert.ok(!mapping.passes)
    assert.equal(mapped.lossy, 1)
    assert.deepEqual(
      mapped.rows.map((row) => row[3]),
      [null, 0.5],
    )
  })

  test('gives a rejected row’s key in its one spelling', () => {
    const byTotal = bindMapping(
      { ...sync({ total: from('total'), n: from('note', 'integer') }), key: ['total'] },
      { ...source, key: ['total'] },
      lossless,
    )
    assert.deepEqual(byTotal.map([['1.50', 'x']]).rejects[0]?.key, ['1.5'])
  })
})

describe('a mapping that does not fit', () => {
  test('names the nearest field', () => refuses({ id: from('id'), x: from('noet') }, /has no field "noet"/))
  test('keeps the key', () => refuses({ note: from('note') }, /the key field "id" of orders is not among the fields/))
  test('leaves the type of the key alone', () =>
    refuses({ id: from('id', 'text') }, /a key can't be converted from integer to text/))
  test('leaves the spelling of the key alone: instants in several zones would change their order', () => {
    const text = {
      ...source,
      fields: source.fields.map((field) => ({ ...field, type: 'text' as const, native: 'text' })),
    }
    for (const type of ['instant', 'uuid', 'date'] as const) {
      assert.throws(() => bindMapping(sync({ id: from('id', type) }), text, lossless), { code: 'CONFIG_INVALID' })
    }
  })
  test('can’t compute the key', () => {
    refuses({ id: { kind: 'compute', compute: () => 1, type: 'integer', version: null } }, /key field "id"/)
  })
  test('needs a key', () => {
    assert.throws(
      () => bindMapping(sync(null), { ...source, key: [] }, lossless),
      (error) => error instanceof SyncError && error.code === 'KEY_MISSING',
    )
  })
})
