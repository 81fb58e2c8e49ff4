/** What a server sets is taken up by the other processes on the store. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDatabase } from '../../tools/database.ts'
import { Api } from './api.ts'
import { eventually, ServiceProject } from './project.ts'

const connections = {
  shop: { connector: 'sqlite', file: './shop.db' },
  copy: { connector: 'sqlite', file: './copy.db' },
}

test('syncs and schedules that one server sets are run by workers as they are now, without being asked', async () => {
  await using state = await createDatabase()
  using it = new ServiceProject({ connections, syncs: {} }, { SYNCLINE_STORE: state.url })
  it.change('shop.db', 'create table orders (id integer primary key); insert into orders values (1), (2)')
  const created = await it.run('keys', 'create', 'admin', '--scope', 'admin')
  const server = it.start('server', '--port', '0')
  const worker = it.start('worker')
  await server.event('ready')
  await worker.event('ready')
  const api = new Api(String(server.lines.find(({ event }) => event === 'ready')?.url), String(created.lines[0]?.key))
  const runs = (sync: string) =>
    worker.lines.filter((line) => line.event === 'job.ended' && line.sync === sync && line.status === 'succeeded')
  const definition = { from: 'shop.orders', to: 'copy.made', every: '300ms' }
  assert.equal((await api.call('PUT', '/api/syncs/made', definition)).status, 201)
  await eventually(() => runs('made').length >= 2, 'runs of what was made')
  assert.equal(it.query('copy.db', 'select count(*) as n from made')[0]?.n, 2)

  // Changed: the next runs write elsewhere.
  assert.equal((await api.call('PUT', '/api/syncs/made', { ...definition, to: 'copy.renamed' })).status, 200)
  const ofRenamed = () => it.query('copy.db', `select name from sqlite_schema where name = 'renamed'`).length
  await eventually(() => ofRenamed() === 1, 'a run of what was changed')

  // Paused: what was queued ends, and nothing comes after it.
  assert.equal((await api.post('/api/syncs/made/pause')).status, 200)
  const idle = async () => {
    const { items = [] } = (await api.get('/api/jobs?sync=made&limit=5')).body
    return items.every(({ status }) => !['queued', 'running'].includes(String(status)))
  }
  await eventually(idle, 'the queue to be empty')
  const before = runs('made').length
  assert.equal((await api.post('/api/syncs/made/resume')).status, 200)
  await eventually(() => runs('made').length > before, 'runs after it was resumed')

  // A schedule that a call registers: the worker that never heard of the call runs by it.
  assert.equal(
    (await api.call('PUT', '/api/syncs/second', { from: 'shop.orders', to: 'copy.second', schedule: 'manual' })).status,
    201,
  )
  const start = { project_id: 'p', sync_type: 'pull', source_platform: 'shop', target_entity: 'second' }
  assert.equal((await api.post('/sync/start', { ...start, schedule: '500ms' })).status, 202)
  await eventually(() => runs('second').length > 0, 'runs by the schedule that was registered')

  assert.equal((await api.call('DELETE', '/api/syncs/made')).status, 204)
  await eventually(async () => (await api.get('/api/syncs/made')).status === 404, 'it to be gone')
  for (const running of [server, worker]) running.kill('SIGTERM')
  for (const running of [server, worker]) assert.equal((await running.end()).code, 0, running.stderr)
})
