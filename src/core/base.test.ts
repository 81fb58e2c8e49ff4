import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { baseOf, cellOf, cellsOf, decodeCells, encodeCells, hashCell, neverCell, unknownCell } from './base.ts'
import { equal, type Type, type Value } from './value.ts'

const modes = ['values', 'hash'] as const
const samples: readonly (readonly [Type, Value])[] = [
  ['text', 'a'],
  ['text', ''],
  ['text', 'null'],
  ['text', '!'],
  ['text', '?'],
  ['text', 'line\nbreak'],
  ['text', '😀 \u0000'],
  ['integer', 1],
  ['integer', 2n ** 60n],
  ['decimal', '1.50'],
  ['float', Number.NaN],
  ['float', -0],
  ['float', 0],
  ['boolean', false],
  ['bytes', new Uint8Array([0, 255, 10])],
  ['json', '{"b":1,"a":null}'],
  ['instant', '2026-01-01T00:00:00.000000Z'],
  ['text', null],
]
const types = samples.map(([type]) => type)
const row = samples.map(([, value]) => value)

describe('the cells of a base', () => {
  for (const mode of modes)
    test(`${mode}: are stored as text and come back`, () => {
      const cells = cellsOf(mode, types, row, types.length)
      cells[0] = neverCell
      cells[1] = unknownCell
      assert.deepEqual(decodeCells(mode, encodeCells(mode, cells)), cells)
    })

  for (const mode of modes)
    test(`${mode}: a value is unchanged as long as it means the same`, () => {
      const cells = cellsOf(mode, types, row, types.length)
      const base = baseOf(mode, { left: cells, right: cells }, { left: types, right: types })
      row.forEach((value, at) => {
        assert.equal(base.unchanged('left', at, value), true, `${types[at]} ${value}`)
        assert.equal(base.unchanged('right', at, value === null ? 'x' : null), false)
      })
      const decimal = types.indexOf('decimal')
      assert.equal(base.unchanged('left', decimal, '1.5'), true)
      assert.equal(base.unchanged('left', types.indexOf('json'), '{"a":null, "b":1}'), true)
    })

  test('the hash of a text is that of its spelling, whatever has to be escaped in it', () => {
    const units = fc.constantFrom('"', '\\', 'a', '\n', '\u0001', 'é', '😀', '\ud800', '{', ' ')
    fc.assert(
      fc.property(
        fc.array(units).map((parts) => parts.join('')),
        (text) => {
          assert.equal(cellOf('hash', 'text', text), hashCell(cellOf('values', 'text', text)))
        },
      ),
    )
  })

  test('NULL, an empty text and the text "null" are three values', () => {
    for (const mode of modes)
      assert.equal(new Set([null, '', 'null', '!', '?'].map((value) => cellOf(mode, 'text', value))).size, 5)
  })

  test('a field that never agreed has changed, whatever it holds; one that came later is not known', () => {
    for (const mode of modes) {
      const base = baseOf(mode, { left: [neverCell, unknownCell], right: [] }, { left: types, right: types })
      for (const value of row) {
        assert.equal(base.unchanged('left', 0, value), false)
        assert.equal(base.unchanged('left', 1, value), null)
        assert.equal(base.unchanged('right', 0, value), null)
      }
      assert.deepEqual([base.value('left', 0), base.value('left', 1)], [null, null])
    }
  })

  test('cells of values give them back, and those of hashes do not', () => {
    const cells = {
      values: cellsOf('values', types, row, types.length),
      hash: cellsOf('hash', types, row, types.length),
    }
    const both = { left: types, right: types }
    const values = baseOf('values', { left: cells.values, right: cells.values }, both)
    const hashes = baseOf('hash', { left: cells.hash, right: cells.hash }, both)
    types.forEach((type, at) => {
      assert.ok(equal(type, values.value('left', at), row[at] ?? null), `${type} ${row[at]}`)
      assert.equal(hashes.value('left', at), null)
      assert.equal(hashCell(cells.values[at] as string), cells.hash[at])
    })
    assert.deepEqual([neverCell, unknownCell].map(hashCell), [neverCell, unknownCell])
  })

  test('equal cells mean equal texts', () => {
    const text = fc.string({ unit: 'binary', maxLength: 8 })
    for (const mode of modes)
      fc.assert(
        fc.property(text, text, (a, b) => {
          assert.equal(cellOf(mode, 'text', a) === cellOf(mode, 'text', b), a === b)
        }),
      )
  })

  test('a hash is that of the value as it is spelled, whatever is in it', () => {
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string(),
      fc.constantFrom('"', '\\', '\ud800', 'é', '', '\n'),
    )
    fc.assert(
      fc.property(texts, (text) => {
        assert.equal(cellOf('hash', 'text', text), hashCell(cellOf('values', 'text', text)))
      }),
    )
  })

  test('hashes of many near values differ', () => {
    const hashes = new Set(Array.from({ length: 100_000 }, (_, at) => cellOf('hash', 'integer', at)))
    assert.equal(hashes.size, 100_000)
  })
})
