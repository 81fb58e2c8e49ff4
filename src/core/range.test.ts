import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { cutRanges, differingRanges } from './range.ts'
import { compareValues, type Value } from './value.ts'

const integer = fc.oneof(fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))

describe('cutting keys into ranges', () => {
  test('bounds ascend, inside the extent, so that ranges cover all and do not overlap', () => {
    fc.assert(
      fc.property(integer, integer, fc.integer({ min: 0, max: 10_000_000 }), (a, b, rows) => {
        const [low, high] = a <= b ? [a, b] : [b, a]
        const bounds = cutRanges('integer', low, high, rows)
        const all: Value[] = [low, ...bounds, high]
        for (let at = 1; at < bounds.length; at++) assert.ok(compareValues('integer', bounds[at - 1]!, bounds[at]!) < 0)
        for (const bound of bounds)
          assert.ok(compareValues('integer', low, bound) <= 0 && compareValues('integer', bound, high) <= 0)
        assert.ok(all.every((value) => typeof value === 'bigint' || Number.isSafeInteger(value)))
      }),
    )
  })

  test('more rows make more ranges, up to a limit', () => {
    assert.deepEqual(cutRanges('integer', 1, 1000, 100), [])
    const many = cutRanges('integer', 1, 1_000_000, 1_000_000).length
    assert.ok(many > 1000 && many < 10_000)
    assert.equal(cutRanges('integer', 1, 2 ** 50, 1e12).length, cutRanges('integer', 1, 2 ** 50, 1e11).length)
  })

  test('keys that arithmetic can’t cut are one range', () => {
    assert.deepEqual(cutRanges('text', 'a', 'z', 1_000_000), [])
    assert.deepEqual(cutRanges('integer', null, null, 1_000_000), [])
  })
})

describe('ranges whose counts differ', () => {
  test('hold every difference, and nothing that is equal', () => {
    const counts = fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 2 })), { minLength: 1 })
    fc.assert(
      fc.property(counts, (pairs) => {
        const bounds = pairs.slice(1).map((_pair, at) => at * 10)
        const ranges = differingRanges(
          bounds,
          pairs.map(([left]) => left),
          pairs.map(([, right]) => right),
        )
        pairs.forEach(([left, right], at) => {
          const inside = at === 0 ? -5 : bounds[at - 1]! + 5
          const covering = ranges.filter(
            ({ from, to }) =>
              (from === null || compareValues('integer', inside, from) >= 0) &&
              (to === null || compareValues('integer', inside, to) < 0),
          )
          assert.equal(covering.length, left === right ? 0 : 1)
        })
      }),
    )
  })

  test('neighbours are one range', () => {
    assert.deepEqual(differingRanges([10, 20, 30], [1, 1, 1, 1], [1, 2, 2, 1]), [{ from: 10, to: 30 }])
    assert.deepEqual(differingRanges([10], [1, 1], [0, 0]), [{ from: null, to: null }])
    assert.deepEqual(differingRanges([], [1], [1]), [])
  })
})
