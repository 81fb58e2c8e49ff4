import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createDatabase } from '../../tools/database.ts'
import { Api } from './api.ts'
import { CANARY, Crm } from './crm.ts'
import { eventually, type Running, ServiceProject } from './project.ts'

async function apiOf(server: Running, key: string): Promise<Api> {
  await server.event('ready')
  return new Api(String(server.lines.find(({ event }) => event === 'ready')?.url), key)
}

describe('syncline server', () => {
  test('on the embedded store it says what one wants instead', async () => {
    await using crm = await new Crm().start()
    using it = new ServiceProject(crm.config())
    const { code, stderr } = await it.run('server')
    assert.equal(code, 2)
    assert.match(stderr, /syncline start/)
  })

  test('runs nothing itself: what two servers put into the queue, make and change, workers run', async () => {
    await using crm = await new Crm().start()
    await using state = await createDatabase()
    using it = new ServiceProject(crm.config(), { SYNCLINE_STORE: state.url })
    it.change('shop.db', 'create table orders (id integer primary key); insert into orders values (1), (2)')
    const created = await it.run('keys', 'create', 'admin', '--scope', 'admin')
    const key = String(created.lines[0]?.key)
    const servers = [it.start('server', '--port', '0'), it.start('server', '--port', '0')]
    const [one, other] = await Promise.all(servers.map((server) => apiOf(server, key)))
    assert.ok(one !== undefined && other !== undefined)
    const run = await one.post('/api/syncs/orders/run')
    assert.equal(run.status, 202)
    const worker = it.start('worker')
    await worker.event('job.ended', ({ sync, status }) => sync === 'orders' && status === 'succeeded')
    assert.equal((await other.get(`/api/jobs/${run.body.id}`)).body.status, 'succeeded')
    // What one makes, the other and the worker know, also when it is changed.
    const definition = { from: 'shop.orders', to: 'copy.made', schedule: 'manual' }
    assert.equal((await one.call('PUT', '/api/syncs/made', definition)).status, 201)
    const start = { project_id: 'p', sync_type: 'pull', source_platform: 'shop' }
    await eventually(async () => (await other.get('/api/syncs/made')).status === 200, 'the sync at the other server')
    const first = await other.post('/sync/start', { ...start, target_entity: 'made' })
    assert.deepEqual([first.status, first.body.synced_items], [200, 2], first.text)
    assert.equal((await one.call('PUT', '/api/syncs/made', { ...definition, to: 'copy.renamed' })).status, 200)
    const second = await one.post('/sync/start', { ...start, target_entity: 'made' })
    assert.deepEqual([second.status, second.body.synced_items], [200, 2], second.text)
    assert.equal(it.query('copy.db', 'select count(*) as n from renamed')[0]?.n, 2)
    const made = { name: 'acme', integration: 'ours', config: { token: CANARY } }
    assert.equal((await one.post('/api/connections', made)).status, 201)
    await worker.event('run.finished', ({ sync, status }) => sync === 'acme/contacts' && status === 'succeeded')
    await eventually(async () => (await other.get('/api/connections/acme')).status === 200, 'the connection')
    assert.equal((await other.get('/api/collections/acme/contacts')).body.items?.length, 3)
    // The master key of the vault is in the folder that they share.
    const acted = await other.post('/api/connections/acme/actions/greet', { input: { name: 'Ada' } })
    assert.deepEqual(acted.body.data, { text: 'Hello Ada' }, acted.text)
    for (const { lines } of servers) assert.ok(!lines.some(({ event }) => event === 'run.started'))
    for (const running of [...servers, worker]) running.kill('SIGTERM')
    for (const running of [...servers, worker]) assert.equal((await running.end()).code, 0, running.stderr)
  })
})
