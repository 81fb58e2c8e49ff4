import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sqliteConfig } from './config.ts'

test('how long everything else may wait for a file is bounded', () => {
  const accepts = (busyTimeoutMs: number) => sqliteConfig.safeParse({ file: 'x.db', busyTimeoutMs }).success
  assert.deepEqual([0, 60_000, 60_001, 2 ** 31 - 1, Number.MAX_SAFE_INTEGER].map(accepts), [
    true,
    true,
    false,
    false,
    false,
  ])
})
