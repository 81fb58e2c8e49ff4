import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { Api } from './api.ts'
import { eventually } from './project.ts'
import { Served } from './served.ts'

test('limits of connections are told to whoever may see them: what is called, what waits, and until when a system is left alone', async () => {
  const asked: ServerResponse[] = []
  const server = createServer((_request, response) => void asked.push(response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  await using _closed = { [Symbol.asyncDispose]: async () => void server.close() }
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await using it = new Served({ config: config(url) })
  const api = await it.ready()
  const keyed = async (project: string) =>
    new Api(it.url, String((await api.post('/api/keys', { name: project, scope: 'operate', project })).body.key))
  const [red, blue] = [await keyed('red'), await keyed('blue')]
  assert.equal((await api.post('/api/connections', { name: 'b', integration: 'busy', project: 'red' })).status, 201)
  const quiet = { active: 0, waiting: 0, pausedUntil: null }
  const limits = { perSecond: null, perMinute: 100, concurrent: 1 }
  const none = { perSecond: null, perMinute: null, concurrent: null }
  const shop = { connection: 'shop', limits: none, ...quiet }
  assert.deepEqual((await api.get('/api/limits')).body, {
    items: [shop, { connection: 'b', limits, ...quiet }],
    next: null,
  })
  assert.deepEqual((await blue.get('/api/limits')).body.items, [])
  assert.deepEqual((await red.get('/api/limits?limit=1')).body, { items: [shop], next: 'shop' })
  const state = async () => (await red.get('/api/limits?after=shop')).body.items?.[0]
  const calls = [1, 2].map(() => red.post('/api/connections/b/actions/ask', { input: {} }))
  await eventually(async () => (await state())?.waiting === 1, 'one to wait')
  assert.deepEqual([(await state())?.active, asked.length], [1, 1])
  asked.shift()?.writeHead(429, { 'retry-after': '3' }).end()
  await eventually(async () => (await state())?.pausedUntil !== null, 'the system to be left alone')
  assert.ok(Date.parse(String((await state())?.pausedUntil)) > 0)
  for (const _ of calls) {
    await eventually(() => asked.length > 0, 'a call')
    asked.shift()?.writeHead(200).end('{}')
  }
  for (const call of calls) assert.equal((await call).status, 200)
  assert.deepEqual(await state(), { connection: 'b', limits, ...quiet })
})

function config(url: string): string {
  return `
import { defineConfig } from 'syncline'
import { defineConnector } from 'syncline/connector'
import { sqlite } from 'syncline/sqlite'
import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
const busy = defineConnector({
  name: 'busy',
  config: z.strictObject({}),
  limits: { concurrent: 1, perMinute: 100 },
  actions: (action) => ({
    ask: action({
      input: z.object({}),
      output: z.object({}),
      run: async (_connection, _input, { fetch }) => (await fetch(${JSON.stringify(url)})).json(),
    }),
  }),
})
export default defineConfig({
  connections: { shop: sqlite({ file: './shop.db' }) },
  syncs: {},
  projects: { red: ['shop'] },
  connectors: [busy],
  integrations: { busy: { connector: 'busy' } },
})`
}
