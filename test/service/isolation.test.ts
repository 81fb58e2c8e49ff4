/** A key of one project and what belongs to another, on every route that the API describes, whatever state that is in. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { Api } from './api.ts'
import { eventually } from './project.ts'
import { Served, succeeds } from './served.ts'

const connections = {
  shop: { connector: 'sqlite', file: './shop.db' },
  copy: { connector: 'sqlite', file: './copy.db' },
  crm: { connector: 'sqlite', file: './crm.db' },
}
const config = {
  connections,
  syncs: { own: { from: 'shop.orders', to: 'copy.own', schedule: 'manual' } },
  projects: { red: ['shop', 'copy'], blue: ['crm', 'copy'] },
  integrations: { files: { connector: 'sqlite', root: '.' } },
}
const redOrders = { from: 'shop.orders', to: 'copy.red_orders', schedule: 'manual' }

/** What may have become of red's sync `red_orders` and its connection `red_files`. */
const states: Readonly<Record<string, (it: Served, red: Api) => Promise<void>>> = {
  runs: async () => {},
  'set aside': async (it, red) => {
    it.project.configure({ ...config, projects: { red: ['copy'], blue: ['crm', 'copy'] } })
    await eventually(async () => (await red.get('/api/syncs/red_orders')).status === 403, 'it is set aside')
  },
  unreadable: async (it) => {
    damage(it, "update record set body = '{' where kind in ('sync', 'connection')")
    await readAgain(it)
  },
  gone: async (_it, red) => {
    assert.equal((await red.call('DELETE', '/api/syncs/red_orders')).status, 204)
    assert.equal((await red.call('DELETE', '/api/connections/red_files')).status, 204)
  },
}

describe('point 46: a key of one project sees and changes nothing of another', () => {
  for (const [state, bring] of Object.entries(states))
    test(`on every route, with a sync that is: ${state}`, async () => {
      await using it = new Served({ config })
      const admin = await it.ready()
      const [red, blue] = [await keyOf(admin, 'red'), await keyOf(admin, 'blue')]
      assert.equal((await red.call('PUT', '/api/syncs/red_orders', redOrders)).status, 201)
      const file = { name: 'red_files', integration: 'files', config: { file: './crm.db' } }
      assert.equal((await red.post('/api/connections', file)).status, 201)
      await succeeds(red, 'red_orders')
      const [run] = (await red.get('/api/runs')).body.items ?? []
      const [job] = (await red.get('/api/jobs')).body.items ?? []
      await bring(it, red)
      for (const name of ['red_orders', 'red_orders%2Fmember', 'red_files'])
        await tryEverything(it, blue, { '{name}': name, '{job}': String(job?.id), '{run}': String(run?.run) })
      assert.deepEqual((await blue.get('/api/syncs')).body.items, [])
      assert.deepEqual(it.project.query('copy.db', "select name from sqlite_master where name like '%mine%'"), [])
    })

  test('a sync that is set aside is not taken over, and comes back as its owner wrote it', async () => {
    await using it = new Served({ config })
    const admin = await it.ready()
    const [red, blue] = [await keyOf(admin, 'red'), await keyOf(admin, 'blue')]
    assert.equal((await red.call('PUT', '/api/syncs/red_orders', redOrders)).status, 201)
    await states['set aside']?.(it, red)
    const taken = await blue.call('PUT', '/api/syncs/red_orders', { ...redOrders, from: 'copy.own', to: 'copy.mine' })
    assert.deepEqual([taken.status, taken.body.code], [403, 'FORBIDDEN'])
    it.project.configure(config)
    await eventually(async () => (await red.get('/api/syncs/red_orders')).status === 200, 'it is back')
    const { body } = await red.get('/api/syncs/red_orders')
    assert.deepEqual([body.right, body.project], ['copy.red_orders', 'red'])
  })

  test('one whose record can’t be read takes only itself away, and a key of no project mends it', async () => {
    await using it = new Served({ config })
    const admin = await it.ready()
    const red = await keyOf(admin, 'red')
    assert.equal((await red.call('PUT', '/api/syncs/red_orders', redOrders)).status, 201)
    await states.unreadable?.(it, red)
    assert.match(String((await admin.get('/api/syncs/red_orders')).body.detail), /record .* can’t be read/)
    await succeeds(admin, 'own')
    assert.equal((await red.call('PUT', '/api/syncs/red_orders', redOrders)).status, 403)
    assert.equal((await admin.call('DELETE', '/api/syncs/red_orders')).status, 204)
  })
})

async function tryEverything(it: Served, blue: Api, names: Readonly<Record<string, string>>): Promise<void> {
  const { body } = await new Api(it.url, it.key).get('/openapi.json')
  for (const [path, methods] of Object.entries(body.paths as Record<string, object>)) {
    if (path === '/api/events' || path.startsWith('/webhooks/')) continue
    const concrete = path.replace(/\{\w+\}/g, (name) => names[name] ?? '1').replace(/why$/, 'why?key=1')
    for (const method of Object.keys(methods)) {
      const answer = await blue.call(method.toUpperCase(), concrete, bodyFor(method, path))
      // A name that no sync can have is refused for itself.
      const impossible = method === 'put' && concrete.includes('%2F') && answer.status === 422
      const refused = [403, 404].includes(answer.status) || impossible
      assert.ok(!/red_orders|red_files/.test(answer.text) || refused, `${method} ${concrete}: ${answer.text}`)
      if (concrete !== path) assert.ok(refused, `${method} ${concrete} ${answer.status} ${answer.text}`)
    }
  }
}

function bodyFor(method: string, path: string): unknown {
  if (path.endsWith('/resolve')) return { take: 'left' }
  if (path.endsWith('/schedule')) return { schedule: '1h' }
  if (path === '/api/connections/{name}' && method === 'put')
    return { integration: 'files', config: { file: './crm.db' } }
  if (method === 'put') return { from: 'copy.own', to: 'copy.mine', schedule: 'manual' }
  if (path === '/sync/start')
    return { project_id: 'red', sync_type: 'pull', source_platform: 'shop', target_entity: 'red_orders' }
  return undefined
}

async function keyOf(admin: Api, project: string): Promise<Api> {
  const { body } = await admin.post('/api/keys', { name: project, scope: 'admin', project })
  return new Api(admin.url, String(body.key))
}

function damage(it: Served, sql: string): void {
  using state = new DatabaseSync(join(it.project.folder, '.syncline', 'state.db'))
  state.exec(sql)
}

/** The service looks at its records when its config changes. */
async function readAgain(it: Served): Promise<void> {
  it.project.configure({ ...config, connections: { ...connections, more: connections.crm } })
  const admin = new Api(it.url, it.key)
  await eventually(async () => (await admin.get('/api/connections/more')).status === 200, 'the config is read again')
}
