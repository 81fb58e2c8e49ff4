import assert from 'node:assert/strict'
import { test } from 'node:test'
import { postgresConfig } from './config.ts'
import { clientOptions, placeOf } from './options.ts'

test('point 44: where tls is said, the url does not say it otherwise', () => {
  for (const url of [
    ...['sslmode=disable', 'ssl=false', 'application_name=1&ssl%6Dode=disable', 'sslnegotiation=direct'].map(
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

test('point 44: a url that means something else than it seems is refused in words that hold no part of its password', () => {
  for (const [url, words] of [
    ...['/', '?', '#'].map((special) => [`postgres://u:12${special}secret@h/d`, /percent-encode/] as const),
    ['postgres://u:secret@one:5432,two:5432/d', /several hosts/],
    ['postgres://u:secret@h/d?sslmode=prefer', /sslmode=prefer, which goes on without TLS/],
    ['postgres://u:secret@h/d?sslmode=allow', /sslmode=allow, which goes on without TLS/],
    ['postgres://u:secret@h/d?sslmode=nonsense', /sslmode that is none: there are disable, require/],
    [
      'postgres://u:secret@h/d?sslmod=require',
      /parameter sslmod, which Syncline does not go by: did you mean sslmode\?/,
    ],
    [
      'postgres://u:secret@h/d?SSLMODE=require',
      /parameter SSLMODE, which Syncline does not go by: did you mean sslmode\?/,
    ],
    ['postgres://u:secret@h/d?foobar=secret', /parameter foobar, which Syncline does not go by: take it out/],
    ['postgres://u:secret@h/d?sslmode=require&sslmode=disable', /says sslmode twice/],
  ] as const)
    for (const environment of [undefined, false]) {
      const { error } = postgresConfig.safeParse({ url, environment })
      const told = error?.issues.map(({ message }) => message).join('\n') ?? ''
      if (environment === undefined) assert.match(told, words)
      assert.ok(told !== '' && !told.includes('secret'), `${url}: ${told}`)
      assert.doesNotMatch(placeOf({ url, connectTimeoutMs: 1 }), /secret/)
    }
  for (const query of [
    'sslmode=require',
    'sslmode=require&channel_binding=require',
    'options=-c%20a%3Db&connect_timeout=5',
  ])
    assert.ok(postgresConfig.safeParse({ url: `postgres://u:p%40%2F%23@h/d?${query}` }).success)
})

test('point 44: the driver has nothing to warn of', () => {
  for (const mode of ['require', 'verify-ca']) {
    const { connectionString } = clientOptions({
      url: `postgres://h/d?sslmode=${mode}&application_name=x`,
      connectTimeoutMs: 1,
    })
    assert.equal(connectionString, 'postgres://h/d?sslmode=verify-full&application_name=x')
  }
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
