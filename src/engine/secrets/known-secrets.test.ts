import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KnownSecrets } from './known-secrets.ts'

test('of each connection the secrets of its config and its last two tokens are known, and no more', () => {
  const known = new KnownSecrets()
  known.keepConfig('a', ['old'])
  known.keepConfig('a', ['password', 'key'])
  for (const token of ['t1', 't2', 't3', 't3', 't2']) known.keepToken('a', token)
  known.keepToken('b', 'u1')
  assert.deepEqual([...known], ['password', 'key', 't2', 't3', 'u1'])
})
