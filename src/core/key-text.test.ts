import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import type { Value } from '../core/value.ts'
import { keyText, parseKeyText } from './key-text.ts'

const beyondSafe = fc.bigInt().filter((value) => !Number.isSafeInteger(Number(value)))
const value: fc.Arbitrary<Value> = fc.oneof(
  fc.constantFrom(null, true, false, NaN, Infinity, -Infinity, -0, 0),
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.maxSafeInteger(),
  beyondSafe,
  fc.uint8Array(),
)

test('a key comes back from its text as it was', () => {
  fc.assert(fc.property(fc.array(value), (key) => assert.deepEqual(parseKeyText(keyText(key)), key)))
})

test('keys that differ have texts that differ', () => {
  fc.assert(
    fc.property(value, value, (a, b) => {
      assert.equal(keyText([a]) === keyText([b]), isDeepStrictEqual(a, b))
    }),
  )
})

test('the text is what tables of rejected rows hold since version 1', () => {
  assert.equal(keyText([1, 'a', 2n ** 60n, Uint8Array.of(1, 255)]), '[1,"a",{"n":"1152921504606846976"},{"b":"01ff"}]')
})

test('keys that differ are spelled apart, also beyond what JSON can write', () => {
  const keys = [[Infinity], [-Infinity], [NaN], [null], [0], ['0'], [2n ** 60n], [2n ** 60n + 1n], ['a', 'b'], ['a,b']]
  assert.equal(new Set(keys.map(keyText)).size, keys.length)
})
