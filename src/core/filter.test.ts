import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { schemaOf } from '../testing/connector-harness.ts'
import { filterFields as columns, filterCases, filterRows } from '../testing/filter-cases.ts'
import { SyncError } from './error.ts'
import { bindFilter, evaluate, filterFields, order, type Where } from './filter.ts'
import type { Type } from './value.ts'

const schema = schemaOf({ name: 'filtered', fields: columns, key: ['id'] })

describe('a filter evaluated in process', () => {
  for (const { title, where, ids } of filterCases) {
    test(title, () => {
      const filter = bindFilter(where, schema)
      const passed = filterRows.filter((row) => evaluate(filter, schema, row) === true).map(([id]) => id)
      assert.deepEqual(passed, ids)
    })
  }
})

describe('a filter that does not fit', () => {
  const mistakes: readonly (readonly [why: string, where: Where, message: RegExp])[] = [
    ['names a field that is not there', { nmae: 'a' }, /where\.nmae: filtered has no field "nmae"/],
    ['uses an operator that is none', { name: { like: 'a%' } as never }, /unknown operator "like"/],
    ['compares an integer with a word', { n: 'many' }, /"many" is not a value of type integer/],
    ['compares a boolean with a word', { flag: 'yes' }, /type boolean/],
    ['compares a date with a day that is not', { day: '2023-02-29' }, /type date/],
    ['compares a date with a time of day', { day: { '<': '2024-02-29 12:00' } }, /type date/],
    ['has a mistake deep inside', { and: [{ or: [{ not: { n: { in: [1, 'x'] } } }] }] }, /where\.n/],
  ]
  for (const [why, where, message] of mistakes) {
    test(why, () => {
      assert.throws(
        () => bindFilter(where, schema),
        (error) =>
          error instanceof SyncError &&
          error.code === 'CONFIG_INVALID' &&
          message.test(error.message) &&
          error.hint !== null,
      )
    })
  }
})

test('a filter knows its fields', () => {
  const filter = bindFilter({ n: { in: [1] }, or: [{ name: null }, { not: { flag: true } }] }, schema)
  assert.deepEqual(
    filterFields(filter).map((field) => field.name),
    ['n', 'name', 'flag'],
  )
})

describe('order by meaning', () => {
  const ascending: Partial<Record<Type, readonly string[]>> = {
    decimal: [
      '-Infinity',
      '-1e30',
      '-10',
      '-9.99',
      '-0.5',
      '0',
      '0.10',
      '0.2',
      '9',
      '10.00',
      '1e30',
      'Infinity',
      'NaN',
    ],
    date: ['-infinity', '0044-03-15 BC', '0044-03-14', '9999-12-31', '10000-01-01', 'infinity'],
  }
  for (const [type, values] of Object.entries(ascending) as [Type, readonly string[]][]) {
    test(type, () => {
      for (const [i, a] of values.entries())
        for (const [j, b] of values.entries()) assert.equal(Math.sign(order(type, a, b)), Math.sign(i - j), `${a} ${b}`)
    })
  }
})
