import assert from 'node:assert/strict'
import { test } from 'node:test'
import { count, duration, key, table, value } from './format.ts'
import { jsonLine } from './json.ts'

test('numbers have separators', () => {
  assert.deepEqual([0, 999, 1000, 1234567].map(count), ['0', '999', '1,000', '1,234,567'])
})

test('durations are told in at most two units', () => {
  const cases = [840, 3210, 42_000, 250_000, 7_500_000, 360_000_000]
  assert.deepEqual(cases.map(duration), ['840 ms', '3.2 s', '42 s', '4 min 10 s', '2 h 5 min', '4 d 4 h'])
})

test('tables are aligned, numbers to the right', () => {
  assert.deepEqual(
    table(
      [
        ['orders', 1200, 'x'],
        ['a', 5, ''],
      ],
      ['sync', 'rows', 'z'],
    ),
    ['sync     rows  z', 'orders  1,200  x', 'a           5'],
  )
})

test('values and keys are readable, and cut where they are long', () => {
  assert.equal(value(null), 'null')
  assert.equal(value('a"b'), '"a\\"b"')
  assert.equal(value(new Uint8Array([1, 255])), '\\x01ff')
  assert.ok(value('x'.repeat(500)).length <= 60)
  assert.equal(key({ id: 5, part: 'a' }), 'id 5, part "a"')
})

test('JSON loses no digit, no byte and no NaN', () => {
  const line = jsonLine({
    big: 2n ** 63n,
    bytes: Buffer.from([0, 255]),
    nan: Number.NaN,
    deep: [{ x: 1n }],
    none: null,
    gone: undefined,
  })
  assert.equal(line, '{"big":"9223372036854775808","bytes":"\\\\x00ff","nan":"NaN","deep":[{"x":"1"}],"none":null}')
})
