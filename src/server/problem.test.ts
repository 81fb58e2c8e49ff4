import assert from 'node:assert/strict'
import { test } from 'node:test'
import Fastify from 'fastify'
import { SyncError } from '../core/error.ts'
import { problemAnswers } from './problem.ts'

function makeApp() {
  const lines: string[] = []
  const app = Fastify()
  app.setErrorHandler(problemAnswers((line) => lines.push(line)))
  return { app, lines }
}

test('what goes wrong inside is logged with its place, and not told', async () => {
  const { app, lines } = makeApp()
  app.get('/broken', () => {
    throw new TypeError('canary')
  })
  app.get('/vault', () => {
    throw new SyncError('VAULT_UNUSABLE', 'the key is gone')
  })
  const broken = await app.inject('/broken')
  assert.equal(broken.statusCode, 500)
  assert.ok(!broken.body.includes('canary'))
  assert.match(lines[0] ?? '', /^GET \/broken: INTERNAL: TypeError: canary\n.*problem\.test\.ts/s)
  await app.inject('/vault')
  assert.deepEqual(lines.slice(1), ['GET /vault: VAULT_UNUSABLE: the key is gone'])
  await app.inject('/nowhere')
  assert.equal(lines.length, 2)
})

test('a request that is nested deeper than can be followed is the mistake of who sent it', async () => {
  const { app, lines } = makeApp()
  const depth = (value: unknown): number => (Array.isArray(value) ? 1 + depth(value[0]) : 0)
  app.put('/deep', (request) => ({ depth: depth(request.body) }))
  const nested = '['.repeat(100_000) + ']'.repeat(100_000)
  const headers = { 'content-type': 'application/json' }
  const answer = await app.inject({ method: 'PUT', url: '/deep', payload: nested, headers })
  assert.deepEqual([answer.statusCode, answer.json().code], [400, 'USAGE_INVALID'])
  assert.deepEqual(lines, [])
})
