import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { Api } from './api.ts'
import { CANARY, Crm } from './crm.ts'
import { eventually } from './project.ts'
import { Served, succeeds } from './served.ts'

const config = {
  connections: { shop: { connector: 'sqlite', file: './shop.db' }, copy: { connector: 'sqlite', file: './copy.db' } },
  syncs: { own: { from: 'shop.orders', to: 'copy.own', schedule: 'manual' } },
  projects: { red: ['shop', 'copy'], blue: ['copy'] },
  integrations: { files: { connector: 'sqlite', root: '.' } },
}
const branch = { name: 'branch', integration: 'files', config: { file: './crm.db' } }
const contacts = { from: 'branch.contacts', to: 'copy.branch', schedule: 'manual' }

async function keyOf(it: Served, admin: Api, project: string): Promise<Api> {
  return new Api(it.url, String((await admin.post('/api/keys', { name: project, scope: 'admin', project })).body.key))
}

describe('what is wrong with one sync of the API takes only that one away', () => {
  test('a connection that moves to where another sync writes', async () => {
    await using it = new Served({ config })
    const api = await it.ready()
    await api.post('/api/connections', { ...branch, name: 'bx' })
    const over = { from: 'shop.contacts', to: 'bx.own', schedule: 'manual' }
    assert.equal((await api.call('PUT', '/api/syncs/bo', over)).status, 201)
    assert.equal((await api.call('PUT', '/api/connections/bx', { config: { file: './copy.db' } })).status, 200)
    await eventually(async () => (await api.get('/api/syncs/bo')).status === 409, 'it is set aside')
    assert.equal((await api.get('/api/syncs/bo')).body.code, 'TARGET_SHARED')
    await succeeds(api, 'own')
    const other = { from: 'shop.orders', to: 'copy.other', schedule: 'manual' }
    assert.equal((await api.call('PUT', '/api/syncs/other', other)).status, 201)
    const planned = await it.project.run('plan', 'own')
    assert.equal(planned.code, 0, planned.stderr)
    assert.match(JSON.stringify((await it.project.run('plan', 'bo')).lines), /TARGET_SHARED|would both write/)
    assert.equal((await api.call('DELETE', '/api/syncs/bo')).status, 204)
  })

  test('one that others are named by stays, and those of other projects are not there', async () => {
    await using it = new Served({ config })
    const api = await it.ready()
    const [red, blue] = [await keyOf(it, api, 'red'), await keyOf(it, api, 'blue')]
    const sync = { from: 'copy.orders', schedule: 'manual' }
    assert.equal((await red.call('PUT', '/api/syncs/rs', { ...sync, to: 'copy.r' })).status, 201)
    assert.equal((await blue.call('PUT', '/api/syncs/b1', { ...sync, to: 'copy.b1' })).status, 201)
    const after = (name: string) => ({ ...sync, to: 'copy.b2', schedule: { after: name } })
    assert.equal((await blue.call('PUT', '/api/syncs/b2', after('b1'))).status, 201)
    const foreign = await blue.call('PUT', '/api/syncs/b2', after('rs'))
    const nowhere = await blue.call('PUT', '/api/syncs/b2', after('ra'))
    assert.deepEqual([foreign.status, nowhere.status], [422, 422])
    assert.equal(foreign.text.replaceAll('rs', 'ra'), nowhere.text)
    assert.match((await blue.call('PUT', '/api/syncs/b3', after('b0'))).text, /did you mean/)
    assert.doesNotMatch((await blue.call('PUT', '/api/syncs/b3', after('r'))).text, /"rs"/)
    const taken = await blue.call('PUT', '/api/syncs/b4', { ...sync, to: 'copy.r' })
    assert.deepEqual([taken.status, /rs/.test(taken.text)], [409, false], taken.text)
    const used = await blue.call('DELETE', '/api/syncs/b1')
    assert.deepEqual([used.status, used.body.code], [409, 'SYNC_USED'])
    assert.equal((await blue.call('DELETE', '/api/syncs/b2')).status, 204)
    assert.equal((await blue.call('DELETE', '/api/syncs/b1')).status, 204)
    assert.equal((await red.get('/api/syncs/rs')).status, 200)
  })

  test('a name stays with the project whose sync it was, as its conflicts and runs do', async () => {
    await using it = new Served({ config })
    const api = await it.ready()
    const [red, blue] = [await keyOf(it, api, 'red'), await keyOf(it, api, 'blue')]
    const sync = { from: 'copy.orders', to: 'copy.r', schedule: 'manual' }
    assert.equal((await red.call('PUT', '/api/syncs/named', sync)).status, 201)
    assert.equal((await red.call('DELETE', '/api/syncs/named')).status, 204)
    assert.equal((await blue.call('PUT', '/api/syncs/named', sync)).status, 403)
    assert.equal((await red.call('PUT', '/api/syncs/named', sync)).status, 201)
  })

  test('a connection that the config takes away from a project', async () => {
    await using it = new Served({ config })
    const api = await it.ready()
    const red = await keyOf(it, api, 'red')
    const sync = { from: 'shop.orders', to: 'copy.r', schedule: 'manual' }
    assert.equal((await red.call('PUT', '/api/syncs/rs', sync)).status, 201)
    await succeeds(red, 'rs')
    it.project.configure({ ...config, projects: { red: ['copy'] } })
    await eventually(async () => (await red.get('/api/syncs/rs')).status === 403, 'it is set aside')
    assert.equal((await red.post('/api/syncs/rs/run')).status, 403)
    await succeeds(api, 'own')
  })

  test('a connection of the config that has the name of one that the API made', async () => {
    await using it = new Served({ config })
    const api = await it.ready()
    const red = await keyOf(it, api, 'red')
    assert.equal((await red.post('/api/connections', branch)).status, 201)
    assert.equal((await red.call('PUT', '/api/syncs/rs', contacts)).status, 201)
    const clashing = { ...config.connections, branch: { connector: 'sqlite', file: './operators.db' } }
    it.project.configure({ ...config, connections: clashing })
    await eventually(async () => (await red.get('/api/syncs/rs')).status === 403, 'it is set aside')
    assert.equal((await red.get('/api/connections/branch')).status, 404)
    assert.match(it.service.stderr, /connection branch: the one made by the API is set aside/)
  })
})

test('a connection that is changed is read as it is now, also by syncs that run all the time', async () => {
  await using it = new Served({ config })
  const api = await it.ready()
  it.project.change(
    'new.db',
    "create table contacts (id integer primary key, name text); insert into contacts values (1, 'New')",
  )
  await api.post('/api/connections', branch)
  await api.call('PUT', '/api/syncs/all_the_time', { ...contacts, schedule: 'continuous' })
  const names = () => it.project.query('copy.db', 'select name from branch').map(({ name }) => name)
  await it.service.event('run.finished', ({ sync, inserted }) => sync === 'all_the_time' && inserted === 2)
  await api.call('PUT', '/api/connections/branch', { config: { file: './new.db' } })
  await eventually(() => names().includes('New'), 'the rows of the other file')
})

test('a sync reads what its integration has switched on, and is not taken up in the wrong order by several callers', async () => {
  await using crm = await new Crm().start()
  await using it = new Served({ config: crm.config() })
  const api = await it.ready()
  await api.post('/api/connections', { name: 'acme', integration: 'ours', config: { token: CANARY } })
  const off = await api.call('PUT', '/api/syncs/deals', { from: 'acme.deals', to: 'copy.deals', schedule: 'manual' })
  const { body } = await api.post('/api/syncs/deals/run')
  await eventually(async () => (await api.get(`/api/jobs/${body.id}`)).body.status === 'failed', `the run ${off.text}`)
  assert.equal(((await api.get(`/api/jobs/${body.id}`)).body.error as { code: string }).code, 'COLLECTION_UNKNOWN')
  // A connection that a step acts through is used, too.
  const acting = { from: 'shop.orders', to: 'copy.acted', onAfter: { connection: 'acme', action: 'greet' } }
  assert.equal((await api.call('PUT', '/api/syncs/acted', { ...acting, schedule: 'manual' })).status, 201)
  assert.equal((await api.call('DELETE', '/api/syncs/deals')).status, 204)
  assert.equal((await api.call('DELETE', '/api/connections/acme')).body.code, 'CONNECTION_USED')
  // At once: one of them gets the table.
  const both = await Promise.all(
    ['x1', 'y1'].map((name) =>
      api.call('PUT', `/api/syncs/${name}`, { from: 'shop.orders', to: 'copy.same', schedule: 'manual' }),
    ),
  )
  assert.deepEqual(both.map(({ status }) => status).sort(), [201, 409])
  assert.equal((await api.get('/api/syncs')).body.items?.filter(({ right }) => right === 'copy.same').length, 1)
})

test('many changes by the API do not import the config again and again', async () => {
  const counting = `import { appendFileSync } from 'node:fs'
appendFileSync(new URL('./imports.txt', import.meta.url), 'x')
export default ${JSON.stringify(config)}`
  await using it = new Served({ config: counting })
  const api = await it.ready()
  const imports = () => readFileSync(`${it.project.folder}/imports.txt`, 'utf8').length
  const sync = { from: 'shop.orders', to: 'copy.r', schedule: 'manual' }
  await api.call('PUT', '/api/syncs/rs', sync)
  const before = imports()
  for (let n = 0; n < 10; n++)
    assert.equal((await api.call('PUT', '/api/syncs/rs', { ...sync, schedule: `${n + 1}h` })).status, 200)
  assert.equal(imports(), before)
})
