import assert from 'node:assert/strict'
import { test } from 'node:test'
import { env, resolveEnv } from './env.ts'

test('references become values, from code and from JSON, at any depth', () => {
  const written = { url: env('URL'), tls: { ca: { env: 'CA' } }, list: [env('URL'), 1] }
  const { value, missing } = resolveEnv(written, ['x'], { URL: 'u', CA: 'c' })
  assert.deepEqual(value, { url: 'u', tls: { ca: 'c' }, list: ['u', 1] })
  assert.deepEqual(missing, [])
})

test('missing variables are reported with their path, a set but empty one is not missing', () => {
  const { value, missing } = resolveEnv({ a: env('NONE'), b: env('EMPTY') }, ['connections', 'shop'], { EMPTY: '' })
  assert.deepEqual(value, { a: '', b: '' })
  assert.deepEqual(missing, [{ name: 'NONE', path: ['connections', 'shop', 'a'] }])
})

test('objects without references are passed on as they are', () => {
  const shared = { rows: [1] }
  const { value } = resolveEnv({ url: env('URL'), shared }, [], { URL: 'u' })
  assert.ok(typeof value === 'object' && value !== null && 'shared' in value)
  assert.equal(value.shared, shared)
  const state = { table: new Map([['a', 1]]) }
  assert.equal(resolveEnv(state, [], {}).value, state)
})

test('a reference inside a longer text is refused instead of becoming "[object Object]"', () => {
  assert.throws(() => `postgres://${env('HOST')}/shop`, /env\('HOST'\) can't be part of a longer text/)
})
