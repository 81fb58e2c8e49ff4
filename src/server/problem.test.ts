import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import Fastify from 'fastify'
import { SyncError } from '../core/error.ts'
import { brokenRequests, problemAnswers } from './problem.ts'

function makeApp() {
  const lines: string[] = []
  const problems = problemAnswers((line) => lines.push(line))
  const app = Fastify({ frameworkErrors: problems, clientErrorHandler: brokenRequests })
  app.setErrorHandler(problems)
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

test('what the router and the parser of HTTP refuse is told like the rest', async (t) => {
  const { app, lines } = makeApp()
  app.get('/things/:name', () => 'x')
  for (const [path, status] of [
    ['/things/%F0%9F', 400],
    [`/things/${'x'.repeat(600)}`, 414],
  ] as const) {
    const answer = await app.inject(path)
    assert.deepEqual([answer.statusCode, answer.json().code], [status, 'USAGE_INVALID'])
    assert.match(String(answer.headers['content-type']), /^application\/problem\+json/)
  }
  const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  t.after(() => app.close())
  const socket = connect(Number(port), '127.0.0.1')
  await once(socket, 'connect')
  socket.write('no HTTP\r\n\r\n')
  const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n')
  assert.match(head, /^HTTP\/1.1 400 .*application\/problem\+json/s)
  assert.equal(JSON.parse(body).status, 400)
  assert.deepEqual(lines, [])
})
