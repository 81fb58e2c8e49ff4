/** What a server sets is taken up by the other processes on the store. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openPostgresStore } from '../../src/store/postgres/store.ts'
import { createDatabase } from '../../tools/database.ts'
import { Api } from './api.ts'
import { CANARY, Crm } from './crm.ts'
import { eventually, type Running, ServiceProject } from './project.ts'
import { succeeds } from './served.ts'

/** In a config: says so whenever it is read, which may be more than once each time; the file itself is imported when it has changed. */
const counted = `get permit() { console.error('config read'); return undefined }`

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

test('`permit` hears who asked for a run by the API, also where another process runs it, and of nobody for a command', async () => {
  await using state = await createDatabase()
  await using crm = await new Crm().start()
  const permit = `permit: ({ kind, name, key }) => process.argv.includes('server') || kind + ' ' + name + ' by ' + (key === null ? 'nobody' : key.name + ' ' + key.id),`
  using it = new ServiceProject(crm.config(permit), { SYNCLINE_STORE: state.url })
  it.change('shop.db', 'create table orders (id integer primary key)')
  const created = await it.run('keys', 'create', 'admin', '--scope', 'admin')
  const server = it.start('server', '--port', '0')
  const worker = it.start('worker')
  for (const running of [server, worker]) await running.event('ready')
  const url = String(server.lines.find(({ event }) => event === 'ready')?.url)
  const admin = new Api(url, String(created.lines[0]?.key))
  const { body: key } = await admin.post('/api/keys', { name: 'robot', scope: 'operate' })
  const robot = new Api(url, String(key.key))
  const run = await robot.post('/api/syncs/orders/run')
  assert.deepEqual(run.body.key, { id: key.id, name: 'robot' })
  const reason = async () => String(JSON.stringify((await admin.get(`/api/jobs/${run.body.id}`)).body.error))
  await eventually(async () => /FORBIDDEN/.test(await reason()), 'the veto')
  assert.match(await reason(), new RegExp(`run orders by robot ${key.id}`))
  const start = { project_id: 'p', sync_type: 'pull', source_platform: 'shop', target_entity: 'orders' }
  assert.match((await robot.post('/sync/start', start)).text, new RegExp(`run orders by robot ${key.id}`))
  const { lines } = await it.run('trigger', 'orders')
  const vetoed = ({ job }: Readonly<Record<string, unknown>>) => job === lines[0]?.id
  await worker.event('sync.vetoed', vetoed)
  assert.equal(
    worker.lines.find((line) => line.event === 'sync.vetoed' && vetoed(line))?.reason,
    'run orders by nobody',
  )
  for (const running of [server, worker]) running.kill('SIGTERM')
  for (const running of [server, worker]) assert.equal((await running.end()).code, 0, running.stderr)
})

test('a change is taken up once by each process: the one that makes it looks at connections, too, and the others at syncs', async () => {
  await using state = await createDatabase()
  await using crm = await new Crm().start()
  using it = new ServiceProject(crm.config(counted), { SYNCLINE_STORE: state.url })
  it.change('shop.db', 'create table orders (id integer primary key)')
  const created = await it.run('keys', 'create', 'admin', '--scope', 'admin')
  const server = it.start('server', '--port', '0')
  const worker = it.start('worker')
  for (const running of [server, worker]) await running.event('ready')
  const api = new Api(String(server.lines.find(({ event }) => event === 'ready')?.url), String(created.lines[0]?.key))
  const reads = ({ stderr }: Running) => stderr.split('config read').length - 1
  const acme = { name: 'acme', integration: 'ours', config: { token: CANARY } }
  assert.equal((await api.post('/api/connections', acme)).status, 201)
  await using store = await openPostgresStore(state.url)
  const scheduled = async () => (await store.schedules.get('acme/contacts')) !== null
  const forget = () => store.schedules.remove('acme/contacts')

  await forget()
  const begun = [reads(server), reads(worker)]
  const definition = { from: 'shop.orders', to: 'copy.made', schedule: 'manual' }
  assert.equal((await api.call('PUT', '/api/syncs/made', definition)).status, 201)
  assert.equal(await scheduled(), true)
  const run = async () => {
    const { id } = (await api.post('/api/syncs/made/run')).body
    await eventually(async () => (await api.get(`/api/jobs/${id}`)).body.status === 'succeeded', 'the run')
  }
  await forget()
  await run()
  assert.equal(await scheduled(), false)
  const taken = [reads(server), reads(worker)]
  assert.ok((taken[0] ?? 0) > (begun[0] ?? 0) && (taken[1] ?? 0) > (begun[1] ?? 0), `${begun} ${taken}`)

  // Lists are a second old at most: each of these calls looks for what others have changed.
  for (let look = 0; look < 2; look++) {
    await sleep(1100)
    await run()
  }
  assert.deepEqual([reads(server), reads(worker)], taken)
  for (const running of [server, worker]) running.kill('SIGTERM')
  for (const running of [server, worker]) assert.equal((await running.end()).code, 0, running.stderr)
})

test('syncs of a connection that can not be read are set aside until it is mended, and the project is not read again and again for that', async () => {
  await using state = await createDatabase()
  const config = { connections, syncs: {}, integrations: { files: { connector: 'sqlite', root: '.' } } }
  using it = new ServiceProject(`export default { ...${JSON.stringify(config)}, ${counted} }`, {
    SYNCLINE_STORE: state.url,
  })
  it.change('shop.db', 'create table orders (id integer primary key)')
  const created = await it.run('keys', 'create', 'admin', '--scope', 'admin')
  const started = async (...command: readonly string[]) => {
    const running = it.start(...command)
    await running.event('ready')
    return running
  }
  const apiOf = ({ lines }: Running) =>
    new Api(String(lines.find(({ event }) => event === 'ready')?.url), String(created.lines[0]?.key))
  const first = await started('server', '--port', '0')
  const api = apiOf(first)
  const put = async (sync: string, from: string) => {
    const { status, text } = await api.call('PUT', `/api/syncs/${sync}`, {
      from,
      to: `copy.${sync}`,
      schedule: 'manual',
    })
    assert.equal(status, 201, text)
  }
  await put('own', 'shop.orders')
  for (const name of ['sealed', 'broken']) {
    const connection = { name, integration: 'files', config: { file: './shop.db' } }
    assert.equal((await api.post('/api/connections', connection)).status, 201)
    await put(`of_${name}`, `${name}.orders`)
  }

  writeFileSync(join(it.folder, '.syncline', 'vault.key'), `${randomBytes(32).toString('base64')}\n`)
  await using store = await openPostgresStore(state.url)
  await store.records.put({ kind: 'connection', id: 'broken', body: '{ no JSON', expiresAt: null })
  const [second, worker] = [await started('server', '--port', '0'), await started('worker')]
  const reads = () => [first, second, worker].map(({ stderr }) => stderr.split('config read').length - 1)
  // Lists are a second old at most: each round looks for what others have changed.
  const round = async () => {
    await sleep(1100)
    for (const server of [first, second]) assert.equal((await apiOf(server).get('/api/syncs')).status, 200)
    await succeeds(api, 'own')
  }
  await round()
  const codeOf = async (sync: string) => (await apiOf(second).get(`/api/syncs/${sync}`)).body.code
  assert.deepEqual([await codeOf('of_sealed'), await codeOf('of_broken')], ['VAULT_UNUSABLE', 'CONFIG_INVALID'])
  const settled = reads()
  for (let look = 0; look < 3; look++) await round()
  assert.deepEqual(reads(), settled)

  // Mended by one server: the others, and workers, take the syncs up again.
  for (const name of ['sealed', 'broken']) {
    const whole = { integration: 'files', config: { file: './shop.db' } }
    const mended = await api.call('PUT', `/api/connections/${name}`, whole)
    assert.equal(mended.status, 200, mended.text)
  }
  for (const name of ['sealed', 'broken']) {
    await eventually(async () => (await codeOf(`of_${name}`)) === undefined, `of_${name} to be there again`)
    await succeeds(apiOf(second), `of_${name}`)
  }
  for (const running of [first, second, worker]) running.kill('SIGTERM')
  for (const running of [first, second, worker]) assert.equal((await running.end()).code, 0, running.stderr)
})
