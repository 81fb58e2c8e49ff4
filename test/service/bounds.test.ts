/** What a caller can ask of the one thread that everybody shares is bounded. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import { Served } from './served.ts'

describe('point 50: work that callers choose is bounded', () => {
  test('requests that one connection sends without waiting: some are answered, the rest are refused, and others are served', async () => {
    await using it = new Served()
    const api = await it.ready()
    const { hostname, port } = new URL(it.url)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.write('GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(499))
    socket.write('GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    await once(socket, 'close')
    const statuses = text.match(/HTTP\/1\.1 \d{3}/g)?.map((line) => Number(line.slice(9))) ?? []
    assert.equal(statuses.length, 500)
    assert.ok(statuses.includes(200))
    assert.ok(statuses.every((status) => status === 200 || status === 429))
    assert.equal((await api.get('/api/health')).status, 200)
  })

  test('forty requests to verify at once are answered, or told to wait', async () => {
    await using it = new Served()
    const api = await it.ready()
    const asked = await Promise.all(Array.from({ length: 40 }, () => api.post('/api/syncs/orders/verify')))
    assert.ok(asked.every(({ status }) => status === 200 || status === 429))
    assert.ok(asked.filter(({ status }) => status === 200).length >= 2)
    assert.equal((await api.post('/api/syncs/orders/verify')).status, 200)
  })

  test('a connection of an integration may not make the service wait for a lock for long', async () => {
    const config = {
      connections: { shop: { connector: 'sqlite', file: './shop.db' } },
      integrations: { files: { connector: 'sqlite', root: '.' } },
      syncs: {},
    }
    await using it = new Served({ config })
    const api = await it.ready()
    const file = (busyTimeoutMs: number) => ({
      name: 'f',
      integration: 'files',
      config: { file: './crm.db', busyTimeoutMs },
    })
    const refused = await api.post('/api/connections', file(60_000))
    assert.deepEqual([refused.status, refused.body.code], [422, 'CONFIG_INVALID'])
    assert.match(refused.text, /busyTimeoutMs: at most 5000/)
    assert.equal((await api.post('/api/connections', file(5000))).status, 201)
    assert.equal((await api.call('PUT', '/api/connections/f', { config: file(6000).config })).status, 422)
  })
})
