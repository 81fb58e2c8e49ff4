import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Api } from './api.ts'
import { APP_CANARY, CANARY, Crm } from './crm.ts'
import { gathered, made, names } from './gathered-tests.ts'
import { eventually, ServiceProject } from './project.ts'
import { Served, succeeds } from './served.ts'

describe('integrations over the API', () => {
  test('tell what there is to connect to, and not what they know', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config() })
    const api = await it.ready()
    const { body, text } = await api.get('/api/integrations/ours')
    assert.deepEqual(
      [body.connector, body.auth, (body.syncs as { name: string }[]).map(({ name }) => name)],
      ['acme', 'config', ['contacts']],
    )
    assert.match(text, /"name":"greet".*"required":\["name"\]/)
    assert.ok(!text.includes('secretly') && !text.includes(APP_CANARY))
    assert.deepEqual(names(await api.get('/api/integrations')), ['ours', 'pushed'])
    assert.deepEqual(names(await api.get('/api/connectors')), ['postgres', 'sqlite', 'acme'])
    assert.equal((await api.get('/api/integrations/our')).body.code, 'INTEGRATION_UNKNOWN')
  })

  test('a connection that can’t be read, or whose integration is gone, is replaced by its whole config, and keeps its rows and its project', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config() })
    const api = await it.ready()
    const red = new Api(
      it.url,
      String((await api.post('/api/keys', { name: 'r', scope: 'admin', project: 'red' })).body.key),
    )
    assert.equal((await api.post('/api/connections', { ...made, project: 'red' })).status, 201)
    await gathered(api, 'acme')
    const put = (body: object, by = api) => by.call('PUT', '/api/connections/acme', body)
    const spoil = (body: string) =>
      it.project.change(
        '.syncline/state.db',
        `update record set body = '${body}', version = version + 1 where kind = 'connection' and id = 'acme'`,
      )

    // What is left of it says nothing of its integration.
    spoil('{"id":"acme","integrationId":7,"project":"red"}')
    assert.equal((await api.post('/api/connections', { ...made, name: 'other' })).status, 201)
    assert.deepEqual(names(await api.get('/api/connections?integration=ours')), ['other'])
    for (const told of [await api.get('/api/connections/acme'), await put({ minutesBetweenSyncs: 5 })])
      assert.match(told.text, /CONFIG_INVALID.*can't be read.*whole `config`.*anew/)
    assert.deepEqual([(await put({ config: { token: CANARY } })).status, (await put({}, red)).status], [422, 404])
    assert.match((await put({ integration: 'ours', config: {} })).text, /CONFIG_INVALID.*token/)
    const anew = await put({ integration: 'ours', config: { token: CANARY } })
    assert.deepEqual([anew.status, anew.body.project, anew.body.syncs], [200, 'red', ['acme/contacts']], anew.text)
    assert.equal((await red.get('/api/collections/acme/contacts')).body.items?.length, 3)
    assert.equal((await api.post('/api/connections/acme/check')).body.healthy, true)
    assert.ok((await api.get('/api/syncs/acme%2Fcontacts')).body.nextAt !== null)

    // Its integration is gone.
    spoil('{"id":"acme","integrationId":"theirs","project":"red"}')
    assert.equal((await api.call('PUT', '/api/connections/other', { minutesBetweenSyncs: 5 })).status, 200)
    assert.match((await put({ minutesBetweenSyncs: 5 }, red)).text, /INTEGRATION_UNKNOWN.*whole `config`/)
    assert.match((await put({ integration: 'ours' }, red)).text, /CONFIG_INVALID.*whole `config`/)
    const moved = await put({ integration: 'ours', config: { token: CANARY }, minutesBetweenSyncs: 5 }, red)
    assert.deepEqual(
      [moved.status, moved.body.integration, moved.body.minutesBetweenSyncs],
      [200, 'ours', 5],
      moved.text,
    )
    assert.equal((await put({ integration: 'pushed', config: { token: CANARY } })).status, 422)

    // One that nothing is left of can be forgotten, too.
    spoil('{')
    assert.equal((await api.call('DELETE', '/api/connections/other')).status, 204)
    assert.equal((await api.call('DELETE', '/api/connections/acme')).status, 204)
    assert.equal((await api.get('/api/connections/acme')).status, 404)
  })

  test('mistakes are told; input that does not fit begins nothing; the same Idempotency-Key acts once', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config() })
    const api = await it.ready()
    const refused = async (body: object) => {
      const { status, body: told } = await api.post('/api/connections', { ...made, ...body })
      return [status, told.code]
    }
    assert.deepEqual(await refused({ integration: 'theirs' }), [404, 'INTEGRATION_UNKNOWN'])
    assert.deepEqual(await refused({ config: {} }), [422, 'CONFIG_INVALID'])
    assert.deepEqual(await refused({ config: { token: { env: 'HOME' } } }), [422, 'CONFIG_INVALID'])
    assert.deepEqual(await refused({ activeSyncs: ['contact'] }), [404, 'SYNC_UNKNOWN'])
    assert.deepEqual(await refused({ name: 'a/b' }), [400, 'USAGE_INVALID'])
    assert.deepEqual(await refused({ name: 'shop' }), [422, 'CONFIG_INVALID'])
    assert.deepEqual(await refused({ name: 'orders' }), [422, 'CONFIG_INVALID'])
    assert.deepEqual(await refused({}), [201, undefined])
    assert.deepEqual(await refused({}), [422, 'CONFIG_INVALID'])
    assert.equal((await api.call('PUT', '/api/syncs/acme', { from: 'shop.orders', to: 'copy.x' })).status, 403)
    assert.equal((await api.call('DELETE', '/api/syncs/acme%2Fcontacts')).status, 403)
    const act = (name: string, input: unknown, headers = {}) =>
      api.post(`/api/connections/acme/actions/${name}`, { input }, headers)
    const wrong = await act('greet', { name: 5 })
    assert.deepEqual([wrong.status, wrong.body.code], [400, 'USAGE_INVALID'])
    const broken = await act('break', {})
    assert.deepEqual([broken.status, broken.body.success, broken.body.code], [200, false, 'HANDLER_FAILED'])
    assert.equal(
      (await api.post('/api/connections', { ...made, name: 'wrong', config: { token: 'wrong' } })).status,
      201,
    )
    const { healthy, error } = (await api.post('/api/connections/wrong/check')).body
    assert.equal(healthy, false)
    assert.match(JSON.stringify(error), /"HANDLER_FAILED","message":"action check failed: the CRM answered 401/)
    for (const name of ['secretly', 'gret']) assert.equal((await act(name, {})).body.code, 'ACTION_UNKNOWN')
    assert.equal((await api.post('/api/connections/shop/actions/greet')).body.code, 'ACTION_UNKNOWN')
    for (let n = 0; n < 2; n++)
      assert.equal((await act('greet', { name: 'once' }, { 'idempotency-key': 'k' })).body.success, true)
    assert.deepEqual(crm.greeted, ['once'])
    // What JSON can't say as a number is text; it is answered, and done once.
    for (let n = 0; n < 2; n++)
      assert.equal((await act('count', {}, { 'idempotency-key': 'c' })).body.data, '12345678901234567890')
    assert.deepEqual(crm.greeted, ['once', 'counted'])
  })

  test('a person connects an account step by step', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config() })
    const api = await it.ready()
    const begun = await api.post('/api/flows', { integration: 'ours' })
    assert.deepEqual([begun.status, (begun.body.step as { kind: string }).kind], [201, 'form'], begun.text)
    const at = `/api/flows/${begun.body.sessionId}`
    assert.match(JSON.stringify((await api.post(at, { answer: { token: 'x' } })).body.errors), /token/)
    const entered = await api.post(at, { answer: { token: CANARY } })
    assert.deepEqual((entered.body.step as { kind: string }).kind, 'confirm')
    assert.ok(!entered.text.includes(CANARY) && !(await api.get(at)).text.includes(CANARY))
    const done = await api.post(at, { answer: { confirmed: true } })
    assert.equal(done.body.status, 'completed', done.text)
    await gathered(api, String(done.body.connectionId))
    const other = await api.post('/api/flows', { integration: 'ours' })
    assert.equal((await api.call('DELETE', `/api/flows/${other.body.sessionId}`)).status, 204)
    assert.equal((await api.get(`/api/flows/${other.body.sessionId}`)).body.code, 'FLOW_UNKNOWN')
    assert.equal((await api.post('/api/flows', { integration: 'none' })).body.code, 'INTEGRATION_UNKNOWN')
  })

  test('what the system of a connection signs runs its syncs that wait for it', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config() })
    const api = await it.ready()
    assert.equal((await api.post('/api/connections', { ...made, integration: 'pushed' })).status, 201)
    const send = async (token: string) =>
      await new Api(it.url, null).post('/webhooks/acme', {}, { 'x-token': token, 'x-id': 'e1' })
    assert.equal((await send('guessed')).status, 401)
    const first = await send(CANARY)
    assert.deepEqual([first.status, first.body.queued], [202, 1], first.text)
    await gathered(api, 'acme')
    assert.deepEqual((await send(CANARY)).body, { queued: 0 })
  })

  test('POST /sync/start finds a connection by its integration, too', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config() })
    const api = await it.ready()
    assert.equal((await api.post('/api/connections', made)).status, 201)
    const request = { project_id: 'p', sync_type: 'pull', target_entity: 'contacts' }
    for (const source_platform of ['acme', 'ours']) {
      const { status, body, text } = await api.post('/sync/start', { ...request, source_platform })
      assert.deepEqual([status, body.status], [200, 'success'], text)
    }
    assert.equal((await api.call('PUT', '/api/connections/acme', { minutesBetweenSyncs: 60.5 })).status, 200)
    const schedule = async () => (await api.get('/api/syncs/acme%2Fcontacts')).body.schedule
    assert.equal(await schedule(), 'every 3630s')
    // Refused while the run lasts that the new schedule begins.
    const reset = async () => (await api.post('/api/syncs/acme%2Fcontacts/reset')).status === 204
    await eventually(reset, 'the reset')
  })

  test('POST /sync/start gives a connection’s sync a schedule that lasts, until the connection says otherwise', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config() })
    const api = await it.ready()
    assert.equal((await api.post('/api/connections', made)).status, 201)
    const request = { project_id: 'p', sync_type: 'pull', source_platform: 'acme', target_entity: 'contacts' }
    const scheduled = await api.post('/sync/start', { ...request, schedule: 'every_2_hours' })
    assert.deepEqual([scheduled.status, scheduled.body.status], [202, 'scheduled'], scheduled.text)
    const schedule = async () => (await api.get('/api/syncs/acme%2Fcontacts')).body.schedule
    assert.equal(await schedule(), 'every 2h')
    assert.equal((await api.post('/sync/start', { ...request, schedule: 'sometimes' })).status, 422)
    const put = (body: object) => api.call('PUT', '/api/connections/acme', body)
    const more = await put({ minutesBetweenSyncs: 5 })
    assert.deepEqual([more.body.schedules, await schedule()], [{ contacts: 'every 2h' }, 'every 2h'])
    it.project.configure(crm.config('// saved'))
    await it.service.event('config.changed', ({ what }) => what === 'file')
    assert.equal(await schedule(), 'every 2h')
    assert.equal((await put({ schedules: { contacts: 'now and then' } })).status, 422)
    assert.equal((await put({ schedules: { contacs: '1h' } })).body.code, 'SYNC_UNKNOWN')
    assert.equal((await put({ schedules: { contacts: '0 6 * * *' } })).status, 200)
    assert.equal(await schedule(), '0 6 * * * (UTC)')
    assert.equal((await put({ schedules: null })).body.schedules, null)
    assert.equal(await schedule(), 'every 5m')
  })
})

test('commands take the syncs of connections by name: they plan, run, verify and reset them, and tell how they stand', async () => {
  await using crm = await new Crm().start()
  const permit = `permit: ({ name, project }) => name !== 'acme/contacts' || project === 'red' || 'it is of ' + project,`
  using it = new ServiceProject(crm.config(permit))
  it.change('shop.db', 'create table orders (id integer primary key)')
  const created = await it.run('keys', 'create', 'admin', '--scope', 'admin')
  const service = it.start('start', '--port', '0')
  await service.event('ready')
  const api = new Api(String(service.lines.find(({ event }) => event === 'ready')?.url), String(created.lines[0]?.key))
  for (const [name, token] of Object.entries({ acme: CANARY, wrong: 'canary-of-another' }))
    assert.equal(
      (await api.post('/api/connections', { name, integration: 'pushed', config: { token }, project: 'red' })).status,
      201,
    )
  const busy = await it.run('run', 'acme')
  assert.match(JSON.stringify(busy.lines), /PROJECT_LOCKED.*trigger/)
  service.kill('SIGINT')
  assert.equal((await service.end()).code, 0)
  assert.equal((await it.run('trigger', 'acme/contacts')).lines[0]?.sync, 'acme/contacts')

  const statuses = async () =>
    (await it.run('status')).lines.map(({ sync, status, inserted }) => [sync, status, inserted])
  assert.deepEqual(await statuses(), [
    ['orders', 'never', undefined],
    ['acme/contacts', 'never', undefined],
    ['wrong/contacts', 'never', undefined],
  ])
  assert.deepEqual((await it.run('history', 'acme/contacts')).code, 0)
  assert.equal((await it.run('plan', 'acme/contacts')).lines[0]?.inserts, 3)
  assert.equal((await it.run('run', 'acme')).code, 0)
  assert.equal((await it.run('verify', 'acme/contacts', 'orders')).lines[0]?.sync, 'orders')
  assert.equal((await it.run('verify', 'acme/contacts')).lines[0]?.right, 3)
  assert.equal((await it.run('reset', 'acme/contacts')).code, 0)
  assert.deepEqual((await it.run('dead-letters', 'acme/contacts')).lines, [])
  assert.equal((await it.run('history', 'acme/contacts')).lines[0]?.inserted, 3)
  assert.deepEqual((await statuses()).slice(1), [
    ['acme/contacts', 'succeeded', 3],
    ['wrong/contacts', 'never', undefined],
  ])
  const failed = await it.run('run', 'wrong/contacts')
  assert.match(JSON.stringify(failed.lines), /the CRM answered 401/)
  for (const [text, hint] of [
    ['acme/contact', /SYNC_UNKNOWN.*did you mean .*acme\/contacts/],
    ['acne/contacts', /SYNC_UNKNOWN/],
  ] as const)
    assert.match(JSON.stringify((await it.run('run', text)).lines), hint)
  const watched = await it.run('watch', 'acme/contacts')
  assert.match(JSON.stringify(watched.lines), /USAGE_INVALID.*syncline start/)
  const all = [busy, failed, watched].map(({ lines, stderr }) => JSON.stringify(lines) + stderr).join('')
  assert.doesNotMatch(all, /canary/)
})

const BAD_RUNS_NOTHING = `permit: ({ kind, key }) => kind !== 'run' || key?.name !== 'bad' || 'not you',`

/** Keys that are called bad and good. */
async function operatorKeys(it: Served, admin: Api): Promise<readonly [Api, Api]> {
  const keyed = async (name: string) =>
    new Api(it.url, String((await admin.post('/api/keys', { name, scope: 'operate' })).body.key))
  return [await keyed('bad'), await keyed('good')]
}

/** Of the projects red and blue. */
async function projectKeys(it: Served, admin: Api): Promise<readonly [Api, Api]> {
  const keyOf = async (project: string) =>
    new Api(it.url, String((await admin.post('/api/keys', { name: project, scope: 'admin', project })).body.key))
  return [await keyOf('red'), await keyOf('blue')]
}

describe('projects', () => {
  test('a key of one project sees and changes nothing of another’s connections, sessions, rows and actions', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config() })
    const admin = await it.ready()
    const [red, blue] = await projectKeys(it, admin)
    const mine = await red.post('/api/connections', { ...made, name: 'red_acme' })
    assert.deepEqual([mine.status, mine.body.project], [201, 'red'])
    const session = String((await red.post('/api/flows', { integration: 'ours' })).body.sessionId)
    await gathered(red, 'red_acme')
    const run = await red.post('/api/syncs/red_acme%2Fcontacts/run')
    await eventually(async () => (await red.get(`/api/jobs/${run.body.id}`)).body.status === 'succeeded', 'the run')
    const [redRun] = (await red.get('/api/runs')).body.items ?? []
    const bodies: Readonly<Record<string, unknown>> = {
      'put /api/syncs/{name}': { from: 'crm.contacts', to: 'copy.x' },
      'put /api/syncs/{name}/schedule': { schedule: '1h' },
      'put /api/connections/{name}': { config: {} },
      'post /api/conflicts/{id}/resolve': { take: 'left' },
    }
    const { body } = await admin.get('/openapi.json')
    for (const [path, methods] of Object.entries(body.paths as Record<string, object>)) {
      for (const method of Object.keys(methods)) {
        if (!path.includes('{') || path.startsWith('/webhooks/') || path.includes('{integration}')) continue
        const concrete = path
          .replace('{name}', path.includes('/syncs/') ? 'red_acme%2Fcontacts' : 'red_acme')
          .replace('{connection}', 'red_acme')
          .replace('{sync}', 'contacts')
          .replace('{action}', 'greet')
          .replace('{session}', session)
          .replace('{job}', String(run.body.id))
          .replace('{run}', String(redRun?.run))
          .replace(/\{\w+\}/g, '1')
          .replace(/why$/, 'why?key=1')
        const { status, text } = await blue.call(method.toUpperCase(), concrete, bodies[`${method} ${path}`])
        assert.ok([403, 404].includes(status), `${method} ${path}: ${status} ${text}`)
        assert.ok(!text.includes('Ada') && !text.includes('there are red'), text)
      }
    }
    for (const list of ['connections', 'collections', 'syncs', 'runs', 'jobs'])
      assert.ok(!(await blue.get(`/api/${list}`)).text.includes('red_acme'), list)
    assert.equal((await red.get('/api/collections/red_acme/contacts')).body.items?.length, 3)
    assert.equal((await red.get(`/api/flows/${session}`)).status, 200)
    assert.deepEqual(crm.greeted, [])
    const foreign = await blue.post('/api/connections', { ...made, name: 'x', project: 'red' })
    assert.equal(foreign.status, 403)
    assert.equal((await admin.post('/api/connections', { ...made, name: 'given', project: 'blue' })).status, 201)
    assert.equal((await blue.get('/api/connections/given')).status, 200)
  })

  test('rows are read by the names of a connection’s own syncs: no text for one reaches into what another gathered', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config() })
    const admin = await it.ready()
    const [red, blue] = await projectKeys(it, admin)
    assert.equal((await blue.post('/api/connections', { ...made, name: 'acme__eu' })).status, 201)
    assert.equal((await red.post('/api/connections', { ...made, name: 'acme' })).status, 201)
    await gathered(blue, 'acme__eu')
    await gathered(red, 'acme')
    for (const sync of ['eu__contacts', '..%2Facme__eu%2Fcontacts', 'toString'])
      for (const end of ['', '/export']) {
        const { status, body, text } = await red.get(`/api/collections/acme/${sync}${end}`)
        assert.deepEqual([status, body.code, text.includes('Ada')], [404, 'COLLECTION_UNKNOWN', false], text)
        // Refused before any file is looked for.
        assert.match(text, /there is no collection/)
      }
    assert.equal((await red.call('PUT', '/api/connections/acme', { activeSyncs: [] })).status, 200)
    assert.equal((await red.get('/api/collections/acme/contacts')).body.items?.length, 3)
  })

  test('the name of a connection that is no more is not another project’s: its rows and history are still there', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config() })
    const admin = await it.ready()
    const [red, blue] = await projectKeys(it, admin)
    assert.equal((await red.post('/api/connections', made)).status, 201)
    await gathered(red, 'acme')
    assert.equal((await red.call('DELETE', '/api/connections/acme')).status, 204)
    for (const api of [blue, admin]) assert.equal((await api.post('/api/connections', made)).status, 422)
    assert.equal((await red.post('/api/connections', made)).status, 201)
  })
})

describe('permit', () => {
  test('is asked before every run and every action: what it refuses does not begin, and its reason is told', async () => {
    await using crm = await new Crm().start()
    const permit = `permit: ({ kind, name, connection, project, key }) => {
      if (name === 'greet') return [kind, connection, project, key?.name].join(' ') + ' may not'
      if (name === 'break') return undefined
      return name === 'acme/contacts' ? kind + ' of ' + connection + ' not today for ' + key?.name : true
    },`
    await using it = new Served({ config: crm.config(permit) })
    const api = await it.ready()
    assert.equal((await api.post('/api/connections', { ...made, project: 'red' })).status, 201)
    const greeted = await api.post('/api/connections/acme/actions/greet', { input: { name: 'Ada' } })
    assert.deepEqual([greeted.status, greeted.body.code], [403, 'FORBIDDEN'])
    assert.match(String(greeted.body.detail), /action acme red first may not/)
    assert.match((await api.post('/api/connections/acme/actions/break')).text, /neither true nor a reason/)
    assert.deepEqual(crm.greeted, [])
    const run = await api.post('/api/syncs/acme%2Fcontacts/run')
    assert.deepEqual([run.status, run.body.code], [403, 'FORBIDDEN'])
    assert.match(run.text, /run of acme not today for first/)
    // Its schedule's.
    const job = async () => (await api.get('/api/jobs?sync=acme%2Fcontacts')).body.items?.[0]
    await eventually(async () => (await job())?.status === 'cancelled', 'the veto')
    assert.match(JSON.stringify((await job())?.error), /FORBIDDEN.*run of acme not today for undefined/)
    assert.equal((await api.get('/api/collections/acme/contacts')).status, 404)
    const orders = await api.post('/api/syncs/orders/run')
    await eventually(async () => (await api.get(`/api/jobs/${orders.body.id}`)).body.status === 'succeeded', 'orders')
    await it.service.event('action.vetoed', ({ action }) => action === 'greet')
  })

  test('who may not run a sync takes its run from nobody who may', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config(BAD_RUNS_NOTHING) })
    const api = await it.ready()
    const [bad, good] = await operatorKeys(it, api)
    const start = { project_id: 'p', sync_type: 'pull', source_platform: 'shop', target_entity: 'orders' }
    const asked = [
      () => bad.post('/api/syncs/orders/run'),
      () => bad.post('/sync/start', start),
      () => good.post('/api/syncs/orders/run', { priority: 'low' }),
    ]
    const [run, started, allowed] = await Promise.all(asked.map((ask) => ask()))
    for (const answer of [run, started]) {
      assert.deepEqual([answer?.status, answer?.body.code], [403, 'FORBIDDEN'])
      assert.match(String(answer?.body.detail), /sync orders may not run: not you/)
    }
    assert.equal(allowed?.status, 202)
    assert.match(JSON.stringify(allowed.body.key), /"name":"good"/)
    const job = async () => (await api.get(`/api/jobs/${allowed?.body.id}`)).body
    await eventually(async () => (await job()).status === 'succeeded', 'its run')
    assert.doesNotMatch((await api.get('/api/jobs')).text, /"bad"/)
  })

  test('is asked when a held run is released by a key: who may not run it does not let its deletions go on', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config(BAD_RUNS_NOTHING) })
    const api = await it.ready()
    const [bad, good] = await operatorKeys(it, api)
    const change = (sql: string) => it.project.change('shop.db', sql)
    const copied = () => it.project.query('copy.db', 'select count(*) as n from orders')[0]?.n
    change(
      "with recursive n(id) as (select 3 union all select id + 1 from n where id < 60) insert into orders select id, 'x' from n",
    )
    await succeeds(good, 'orders')
    change('delete from orders where id > 2')
    await good.post('/api/syncs/orders/run')
    const held = async () => (await api.get('/api/runs?sync=orders&limit=1')).body.items?.[0]
    await eventually(async () => (await held())?.status === 'held', 'the held run')
    const before = await held()
    const refused = await bad.post(`/api/runs/${before?.run}/release`)
    assert.deepEqual([refused.status, refused.body.code], [403, 'FORBIDDEN'])
    assert.match(String(refused.body.detail), /sync orders may not run: not you/)
    assert.deepEqual(await held(), before)
    assert.doesNotMatch((await api.get('/api/jobs?sync=orders')).text, /"bad"/)
    assert.equal(copied(), 60)
    assert.equal((await good.post(`/api/runs/${before?.run}/release`)).status, 200)
    await eventually(() => copied() === 2, 'the run after its release')
  })

  test('is asked by `run`, too, and what throws forbids', async () => {
    await using crm = await new Crm().start()
    using it = new ServiceProject(
      crm.config(`permit: ({ kind, name, project }) => { throw new Error(kind + ' ' + name + ' ' + project) },`),
    )
    it.change('shop.db', 'create table orders (id integer primary key)')
    const { code, lines } = await it.run('run')
    const finished = lines.find(({ event }) => event === 'run.finished')
    assert.deepEqual([code === 0, finished?.status], [false, 'failed'])
    assert.match(JSON.stringify(finished?.error), /FORBIDDEN.*may not run: run orders null/)
    it.configure(crm.config('permit: () => true,'))
    assert.equal((await it.run('run')).code, 0)
  })
})
