import assert from 'node:assert/strict'
import { test } from 'node:test'
import { postgresConfig } from './index.ts'

test('where tls is said, the url does not say it otherwise', () => {
  for (const url of [
    ...['sslmode=disable', 'ssl=false', 'x=1&ssl%6Dode=disable', 'ssl\tmode=disable', 'sslnegotiation=direct'].map(
      (query) => `postgres://h/d?${query}`,
    ),
    ...['postgres://u:p@/d?sslmode=disable', 'postgres:///d?sslmode=disable', 'postgres://u:p p@h/d?sslmode=disable'],
  ])
    for (const tls of [true, false, { rejectUnauthorized: true }]) {
      const { error } = postgresConfig.safeParse({ url, tls })
      assert.deepEqual(
        error?.issues.map(({ path }) => path),
        [['tls']],
        url,
      )
    }
  assert.ok(postgresConfig.safeParse({ url: 'postgres://h/d?sslmode=disable' }).success)
  assert.ok(postgresConfig.safeParse({ url: 'postgres://h/d?application_name=x', tls: true }).success)
})

test('how long a server is waited for is bounded', () => {
  const accepts = (connectTimeoutMs: number) => postgresConfig.safeParse({ host: 'h', connectTimeoutMs }).success
  assert.deepEqual([1, 60_000, 60_001, 2 ** 31, Number.MAX_SAFE_INTEGER].map(accepts), [
    true,
    true,
    false,
    false,
    false,
  ])
})
