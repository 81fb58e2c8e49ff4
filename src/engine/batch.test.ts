import assert from 'node:assert/strict'
import { test } from 'node:test'
import { spellKey } from './batch.ts'

test('keys that differ are looked up apart, also beyond what JSON can write', () => {
  const keys = [[Infinity], [-Infinity], [NaN], [null], [0], ['0'], [2n ** 60n], [2n ** 60n + 1n], ['a', 'b'], ['a,b']]
  assert.equal(new Set(keys.map(spellKey)).size, keys.length)
})
