import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { formatName, nearestNames, parseName, reserved, selectNames } from './name.ts'

describe('names', () => {
  test('a name comes back from its parts, whatever is in them', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 3 }), (parts) => {
        assert.deepEqual(parseName(formatName(parts)), parts)
      }),
    )
  })

  test('dots and quotes inside a part are quoted, and nothing else is', () => {
    assert.equal(formatName(['public', 'orders']), 'public.orders')
    assert.equal(formatName(['public', 'odd.name']), 'public."odd.name"')
    assert.equal(formatName(['a"b']), '"a""b"')
    assert.deepEqual(parseName('public."odd.name"'), ['public', 'odd.name'])
  })

  test('our own tables are known in any schema', () => {
    assert.ok(reserved('_syncline_checkpoint'))
    assert.ok(reserved('public._syncline_checkpoint'))
    assert.ok(!reserved('public.my_syncline_'))
  })
})

describe('patterns', () => {
  const names = ['public.orders', 'public.audit_log', 'public.order_items', 'sales.orders', 'public._syncline_rejected']

  test('choose in order: the last that fits decides', () => {
    assert.deepEqual(selectNames(names, ['public.*', '!public.audit_*']), ['public.orders', 'public.order_items'])
    assert.deepEqual(selectNames(names, ['*', '!public.*', 'public.orders']), ['public.orders', 'sales.orders'])
  })

  test('that only take away start from everything', () => {
    assert.deepEqual(selectNames(names, ['!*.orders']), ['public.audit_log', 'public.order_items'])
  })

  test('never choose our own tables', () => {
    assert.ok(!selectNames(names, ['*', 'public._syncline_rejected']).includes('public._syncline_rejected'))
  })

  test('know one special character, the star', () => {
    assert.deepEqual(selectNames(['a.b', 'axb', 'a.b(c)'], ['a.b']), ['a.b'])
    assert.deepEqual(selectNames(['a.b', 'a.b(c)'], ['a.b(c)']), ['a.b(c)'])
    assert.deepEqual(selectNames(['line\nbreak'], ['line*']), ['line\nbreak'])
  })
})

describe('a mistyped name', () => {
  test('is answered with the nearest, best first', () => {
    assert.deepEqual(nearestNames('public.oders', ['public.customers', 'public.orders']), ['public.orders'])
    assert.deepEqual(nearestNames('Orders', ['public.orders', 'public.order_items'], 1), ['public.orders'])
  })

  test('is not answered with anything when nothing is near', () => {
    assert.deepEqual(nearestNames('zebra', ['public.customers']), [])
  })
})

test('stars stand for any characters, and many of them take no longer', () => {
  const names = ['', 'a', 'ab', 'aba', 'abba', 'a.b', 'b\na', 'a*b']
  for (const [pattern, chosen] of [
    ['*', names],
    ['**', names],
    ['a', ['a']],
    ['a*', ['a', 'ab', 'aba', 'abba', 'a.b', 'a*b']],
    ['*a', ['a', 'aba', 'abba', 'b\na']],
    ['a*a', ['aba', 'abba']],
    ['ab*ba', ['abba']],
    ['a*b*a', ['aba', 'abba']],
    ['a.*', ['a.b']],
    ['*b*b*', ['abba']],
    ['aba*ba', []],
  ] as const)
    assert.deepEqual(selectNames(names, [pattern]), chosen, pattern)
  assert.deepEqual(selectNames(['a'.repeat(1000)], [`${'*a'.repeat(100)}b`, `${'*a'.repeat(100)}*b`]), [])
})
