import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openPostgresStore } from '../../src/store/postgres/store.ts'
import { createDatabase } from '../../tools/database.ts'
import { Api } from './api.ts'
import { eventually, ServiceProject } from './project.ts'

test('who waits for a sync when the server stops is answered that it goes on', async () => {
  await using state = await createDatabase()
  const shop = { connector: 'sqlite', file: './shop.db' }
  const syncs = { orders: { from: 'shop.orders', to: 'shop.copied', schedule: 'manual' } }
  using it = new ServiceProject({ connections: { shop }, syncs }, { SYNCLINE_STORE: state.url })
  it.change('shop.db', 'create table orders (id integer primary key)')
  const created = await it.run('keys', 'create', 'admin', '--scope', 'admin')
  // No worker: the sync stays in the queue.
  const server = it.start('server', '--port', '0')
  await server.event('ready')
  const url = String(server.lines.find(({ event }) => event === 'ready')?.url)
  const start = { project_id: 'p', sync_type: 'pull', source_platform: 'shop', target_entity: 'orders' }
  const waiting = new Api(url, String(created.lines[0]?.key)).post('/sync/start', start)
  await using store = await openPostgresStore(state.url)
  const queued = async () => await store.jobs.list({ status: 'queued', limit: 10 })
  await eventually(async () => (await queued()).length > 0, 'the job')
  server.kill('SIGTERM')
  const { status, type, body } = await waiting
  assert.deepEqual([status, type, body.code], [503, 'application/problem+json; charset=utf-8', 'SERVER_STOPPING'])
  const [job] = await queued()
  assert.match(String(body.hint), new RegExp(`Job ${job?.id} stays`))
  assert.equal((await server.end()).code, 0, server.stderr)
})
