import assert from 'node:assert/strict'
import { test } from 'node:test'
import { env, resolveEnv, secret, secretNames } from './env.ts'

test('references become values, from code and from JSON, at any depth', () => {
  const written = { url: env('URL'), tls: { ca: { env: 'CA' } }, list: [env('URL'), 1] }
  const { value, missing } = resolveEnv(written, ['x'], { environment: { URL: 'u', CA: 'c' } })
  assert.deepEqual(value, { url: 'u', tls: { ca: 'c' }, list: ['u', 1] })
  assert.deepEqual(missing, [])
})

test('missing variables are reported with their path, a set but empty one is not missing', () => {
  const { value, missing } = resolveEnv({ a: env('NONE'), b: env('EMPTY') }, ['connections', 'shop'], {
    environment: { EMPTY: '' },
  })
  assert.deepEqual(value, { a: '', b: '' })
  assert.deepEqual(missing, [{ kind: 'env', name: 'NONE', path: ['connections', 'shop', 'a'] }])
})

test('objects without references are passed on as they are', () => {
  const shared = { rows: [1] }
  const { value } = resolveEnv({ url: env('URL'), shared }, [], { environment: { URL: 'u' } })
  assert.ok(typeof value === 'object' && value !== null && 'shared' in value)
  assert.equal(value.shared, shared)
  const state = { table: new Map([['a', 1]]) }
  assert.equal(resolveEnv(state, [], { environment: {} }).value, state)
})

test('a reference inside a longer text is refused instead of becoming "[object Object]"', () => {
  assert.throws(() => `postgres://${env('HOST')}/shop`, /env\('HOST'\) can't be part of a longer text/)
})

test('secrets are found wherever they are named, and one that the vault does not have is missing', () => {
  const written = {
    a: { url: secret('shop'), other: [{ secret: 'crm/token' }] },
    b: { secret: 'shop', more: 1 },
    c: new Map(),
  }
  assert.deepEqual(secretNames(written), ['shop', 'crm/token'])
  const { value, missing } = resolveEnv(written.a, ['a'], { environment: {}, secrets: new Map([['shop', 's']]) })
  assert.deepEqual(value, { url: 's', other: [''] })
  assert.deepEqual(missing, [{ kind: 'secret', name: 'crm/token', path: ['a', 'other', 0] }])
  assert.throws(() => `x${secret('shop')}`, /secret\('shop'\) can't be part of a longer text/)
})
