import assert from 'node:assert/strict'
import { test } from 'node:test'
import { redact, redactAll, secretsIn } from './redact.ts'

test('what is known to be a secret, and what looks like one, is taken out of a text', () => {
  const known = ['hunter2-canary']
  for (const [text, clean] of [
    ['the CRM refused hunter2-canary, twice: hunter2-canary', 'the CRM refused [secret], twice: [secret]'],
    ['postgres://user:pass@db.internal/x is gone', 'postgres://user:[secret]@db.internal/x is gone'],
    ['key slk_abc_DEF123 and whsec_a+b/c=', 'key [secret] and [secret]'],
    ['authorization: Bearer abc.def-ghi', 'authorization: Bearer [secret]'],
    ['https://example.com/a:b@c says 12 rows', 'https://example.com/a:b@c says 12 rows'],
  ] as const)
    assert.equal(redact(text, known), clean)
  assert.equal(redact('to be or not', ['to']), 'to be or not')
})

test('secrets of a config are told by the words of their names, with everything below them', () => {
  const config = {
    url: 'https://x',
    apiKey: 'a',
    client_secret: 'b',
    pwd: 'c',
    tokens: ['d', 'e'],
    credentials: { value: 'f', deep: { more: 'g' } },
    login: { password: 'h', user: 'ada' },
    jwt: 'i',
    author: 'octocat',
    keyboard: 'qwerty',
    passes: 3,
  }
  assert.deepEqual(secretsIn(config).toSorted(), ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'])
})

test('in values, all texts are looked through', () => {
  const value = { n: 5, deep: [{ error: { message: 'token canary-1' } }, null, 7n] }
  assert.deepEqual(redactAll(value, ['canary-1']), {
    n: 5,
    deep: [{ error: { message: 'token [secret]' } }, null, '7'],
  })
})
