import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Api } from './api.ts'
import { CANARY, Crm } from './crm.ts'
import { eventually, ServiceProject } from './project.ts'
import { Served, succeeds } from './served.ts'

const files = { files: { connector: 'sqlite', root: '.' } }
const config = {
  connections: { shop: { connector: 'sqlite', file: './shop.db' }, copy: { connector: 'sqlite', file: './copy.db' } },
  syncs: {},
  projects: { red: ['copy'] },
  integrations: files,
}
const mirrored = { from: 'branch.contacts', to: 'copy.branch', schedule: 'manual' }

describe('syncs over connections that the API made', () => {
  test('read and write what they reach, by the service and by commands', async () => {
    await using it = new Served({ config })
    const api = await it.ready()
    const made = await api.post('/api/connections', {
      name: 'branch',
      integration: 'files',
      config: { file: './crm.db' },
    })
    assert.equal(made.status, 201, made.text)
    const sync = await api.call('PUT', '/api/syncs/branch_contacts', mirrored)
    assert.deepEqual([sync.status, sync.body.items?.[0]?.left], [201, 'branch.contacts'], sync.text)
    assert.equal((await api.post('/api/syncs/branch_contacts/plan')).body.inserts, 2)
    await succeeds(api, 'branch_contacts')
    assert.deepEqual((await api.post('/api/syncs/branch_contacts/verify')).body.equal, true)
    // As a target, and by a pattern: its collections are listed through it.
    await api.call('PUT', '/api/syncs/all', { from: 'shop', to: 'branch', collections: ['orders'], schedule: 'manual' })
    await succeeds(api, 'all/orders')
    assert.equal(it.project.query('crm.db', 'select * from orders').length, 2)
    // Both ways.
    const contacts = {
      between: ['branch.contacts', 'shop.contacts'],
      match: ['email'],
      fields: { email: 'email', name: 'name' },
    }
    const both = await api.call('PUT', '/api/syncs/both', { ...contacts, schedule: 'manual' })
    assert.equal(both.status, 201, both.text)
    await succeeds(api, 'both')
    assert.equal(it.project.query('shop.db', "select * from contacts where name = 'Bo'").length, 1)
    const verified = await it.project.run('verify', 'branch_contacts')
    assert.deepEqual([verified.code, verified.lines.at(-1)?.equal], [0, true], verified.stderr)
  })

  test('name files inside the folder of their integration only, and never our own', async () => {
    const integrations = { files: { connector: 'sqlite', root: './customers' }, none: { connector: 'sqlite' } }
    await using it = new Served({ config: { ...config, integrations } })
    mkdirSync(join(it.project.folder, 'customers'))
    symlinkSync(it.project.folder, join(it.project.folder, 'customers', 'up'))
    const api = await it.ready()
    const put = async (name: string, integration: string, file: string) =>
      await api.post('/api/connections', { name, integration, config: { file } })
    for (const file of ['../shop.db', './up/shop.db', '../.syncline/state.db', `${it.project.folder}/shop.db`]) {
      const { status, body, text } = await put('branch', 'files', file)
      assert.deepEqual([status, body.code], [422, 'CONFIG_INVALID'], text)
      assert.match(text, /connection \\"branch\\": file: /)
    }
    assert.match((await put('branch', 'none', './customers/a.db')).text, /CONFIG_INVALID.*root/)
    assert.equal((await put('branch', 'files', 'a.db')).status, 201)
    const changed = await api.call('PUT', '/api/connections/branch', { config: { file: '../shop.db' } })
    assert.deepEqual([changed.status, changed.body.code], [422, 'CONFIG_INVALID'], changed.text)
    await api.call('PUT', '/api/syncs/out', { from: 'shop.orders', to: 'branch.orders', schedule: 'manual' })
    await succeeds(api, 'out')
    assert.equal(it.project.query('customers/a.db', 'select * from orders').length, 2)
    // What was inside when it was made, and leads out now.
    assert.equal((await put('later', 'files', 'b.db')).status, 201)
    symlinkSync(join(it.project.folder, 'shop.db'), join(it.project.folder, 'customers', 'b.db'))
    const { body } = await api.post('/api/connections/later/check')
    assert.match(JSON.stringify(body), /CONFIG_INVALID/)
  })

  test('two names of one file are one place', async () => {
    await using it = new Served({ config })
    const api = await it.ready()
    await api.post('/api/connections', { name: 'same', integration: 'files', config: { file: 'copy.db' } })
    await api.call('PUT', '/api/syncs/one', { from: 'shop.orders', to: 'copy.orders', schedule: 'manual' })
    const other = await api.call('PUT', '/api/syncs/two', {
      from: 'shop.contacts',
      to: 'same.orders',
      schedule: 'manual',
    })
    assert.deepEqual([other.status, other.body.code], [409, 'TARGET_SHARED'], other.text)
  })

  test('a connection that a sync uses is not forgotten; one that is gone all the same takes only its syncs away', async () => {
    await using it = new Served({ config })
    const api = await it.ready()
    const branch = { name: 'branch', integration: 'files', config: { file: './crm.db' } }
    await api.post('/api/connections', branch)
    await api.call('PUT', '/api/syncs/branch_contacts', mirrored)
    await api.call('PUT', '/api/syncs/orders', { from: 'shop.orders', to: 'copy.orders', schedule: 'manual' })
    const used = await api.call('DELETE', '/api/connections/branch')
    assert.deepEqual([used.status, used.body.code], [409, 'CONNECTION_USED'], used.text)
    assert.match(used.text, /branch_contacts/)
    it.project.configure({ ...config, integrations: {} })
    const status = async () => (await api.get('/api/syncs/branch_contacts')).status
    await eventually(async () => (await status()) === 404, 'the sync is set aside')
    assert.match(it.service.stderr, /there is no integration .{1,2}files/)
    await succeeds(api, 'orders')
    it.project.configure(config)
    await eventually(async () => (await status()) === 200, 'the sync is back')
    await succeeds(api, 'branch_contacts')
    assert.equal((await api.call('DELETE', '/api/syncs/branch_contacts')).status, 204)
    assert.equal((await api.call('DELETE', '/api/connections/branch')).status, 204)
    const gone = await api.call('PUT', '/api/syncs/branch_contacts', mirrored)
    assert.deepEqual([gone.status, gone.body.code], [422, 'CONFIG_INVALID'])
    assert.match(gone.text, /no connection \\"branch\\"/)
  })

  test('a project uses its own, and hears nothing of others', async () => {
    await using it = new Served({ config })
    const api = await it.ready()
    await api.post('/api/connections', { name: 'branch', integration: 'files', config: { file: './crm.db' } })
    const { key } = (await api.post('/api/keys', { name: 'red', scope: 'admin', project: 'red' })).body
    const red = new Api(it.url, String(key))
    const foreign = await red.call('PUT', '/api/syncs/mine', mirrored)
    const none = await red.call('PUT', '/api/syncs/mine', { ...mirrored, from: 'brunch.contacts' })
    assert.deepEqual([foreign.status, none.status], [422, 422])
    assert.equal(foreign.text.replaceAll('branch', 'brunch'), none.text)
    await red.post('/api/connections', { name: 'reds', integration: 'files', config: { file: './crm.db' } })
    const own = await red.call('PUT', '/api/syncs/mine', { ...mirrored, from: 'reds.contacts' })
    assert.equal(own.status, 201, own.text)
    await succeeds(red, 'mine')
  })

  test('what a connector of one’s own lists goes into a target', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config() })
    const api = await it.ready()
    await api.post('/api/connections', { name: 'acme', integration: 'ours', config: { token: CANARY } })
    const sync = await api.call('PUT', '/api/syncs/people', {
      from: 'acme.contacts',
      to: 'copy.people',
      schedule: 'manual',
    })
    assert.equal(sync.status, 201, sync.text)
    await succeeds(api, 'people')
    const names = it.project.query('copy.db', 'select name from people order by id').map(({ name }) => name)
    assert.deepEqual(
      names,
      crm.contacts.map((contact) => Reflect.get(contact, 'name')),
    )
    const ran = await it.project.run('plan', 'people')
    assert.deepEqual([ran.code, ran.lines.at(-1)?.inserts], [0, 0], ran.stderr)
  })
})

test('killed with -9 while such a sync copies, and while its connection is changed: the next start goes on, and both sides are equal', async () => {
  using it = new ServiceProject(config)
  const rows = 'with recursive n(i) as (values (1) union all select i + 1 from n where i < 300000)'
  it.change(
    'crm.db',
    `create table many (id integer primary key, text text); insert into many ${rows} select i, 'row ' || i from n`,
  )
  const key = String((await it.run('keys', 'create', 'me', '--scope', 'admin')).lines[0]?.key)
  const begin = async () => {
    const service = it.start('start', '--port', '0')
    await service.event('ready')
    return { service, api: new Api(String(service.lines.find(({ event }) => event === 'ready')?.url), key) }
  }
  const change = { config: { file: './crm.db' } }
  const first = await begin()
  await first.api.post('/api/connections', { name: 'branch', integration: 'files', ...change })
  await first.api.call('PUT', '/api/syncs/many', { from: 'branch.many', to: 'copy.many', schedule: 'manual' })
  await first.api.post('/api/syncs/many/run')
  await first.service.event('batch.applied', ({ sync }) => sync === 'many')
  first.service.kill('SIGKILL')
  await first.service.end()
  for (let kills = 0; kills < 4; kills++) {
    const { service, api } = await begin()
    const changes = Array.from({ length: 20 }, () => api.call('PUT', '/api/connections/branch', change))
    await Promise.race(changes)
    service.kill('SIGKILL')
    await Promise.allSettled([...changes, service.end()])
  }
  const { service, api } = await begin()
  assert.equal((await api.post('/api/connections/branch/check')).body.healthy, true)
  await succeeds(api, 'many')
  const verified = await api.post('/api/syncs/many/verify')
  assert.deepEqual([verified.body.equal, verified.body.right], [true, 300_000], verified.text)
  service.kill('SIGINT')
  assert.equal((await service.end()).code, 0)
})
