/** What connections gather, over the API and the command line, on whatever store. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Api, type Called } from './api.ts'
import { APP_CANARY, CANARY, Crm } from './crm.ts'
import { eventually, ServiceProject } from './project.ts'
import { Served } from './served.ts'

export const made = { name: 'acme', integration: 'ours', config: { token: CANARY } }

export async function gathered(api: Api, connection: string): Promise<void> {
  const rows = async () => (await api.get(`/api/collections/${connection}/contacts`)).body.items ?? []
  // Its table is there before its rows are.
  await eventually(async () => (await rows()).length > 0, 'its rows')
}

export function names({ body }: Called): readonly unknown[] {
  return (body.items ?? []).map(({ name }) => name)
}

/** Where the state of one project is. */
export interface StateHome extends AsyncDisposable {
  readonly environment: Readonly<Record<string, string>>
}

export function gatheredTests(store: string, makeHome: () => Promise<StateHome>): void {
  describe(`connections and what they gather, on ${store}`, () => {
    test('a connection is made, checked, gathers rows that are read and exported, acts, is changed and forgotten', async () => {
      await using home = await makeHome()
      await using crm = await new Crm().start()
      await using it = new Served({ config: crm.config() }, home.environment)
      const api = await it.ready()
      const created = await api.post('/api/connections', made)
      assert.deepEqual([created.status, created.body.syncs], [201, ['acme/contacts']], created.text)
      assert.deepEqual((await api.post('/api/connections/acme/check')).body, { name: 'acme', healthy: true })
      assert.deepEqual(names(await api.get('/api/connections')), ['shop', 'copy', 'crm', 'acme'])
      assert.deepEqual(names(await api.get('/api/connections?limit=1&after=copy')), ['crm'])
      await gathered(api, 'acme')
      assert.deepEqual((await api.get('/api/collections')).body.items, [{ connection: 'acme', sync: 'contacts' }])
      assert.deepEqual((await api.get('/api/collections?limit=1')).body.next, null)
      assert.deepEqual((await api.get('/api/collections?after=acme%2Fcontacts')).body.items, [])
      const first = await api.get('/api/collections/acme/contacts?limit=2')
      assert.deepEqual(first.body.items, crm.contacts.slice(0, 2))
      const second = await api.get(`/api/collections/acme/contacts?limit=2&after=${first.body.next}`)
      assert.deepEqual([second.body.items, second.body.next], [crm.contacts.slice(2), null])
      const exported = await api.get('/api/collections/acme/contacts/export')
      assert.match(exported.type, /ndjson/)
      assert.equal(exported.text, crm.contacts.map((contact) => `${JSON.stringify(contact)}\n`).join(''))
      const csv = await api.get('/api/collections/acme/contacts/export?format=csv')
      assert.equal(csv.text, 'id,name\r\n1,Ada\r\n2,"Bo, ""the"" boss"\r\n3,Cy\r\n')
      assert.equal((await api.get('/api/collections/acme/deals/export')).body.code, 'COLLECTION_UNKNOWN')
      for (const after of [
        '%25',
        Buffer.from('["x"]').toString('base64url'),
        Buffer.from('[1,2]').toString('base64url'),
      ])
        assert.equal((await api.get(`/api/collections/acme/contacts?after=${after}`)).status, 400, after)
      const greeted = await api.post('/api/connections/acme/actions/greet', { input: { name: 'Ada' } })
      assert.deepEqual([greeted.status, greeted.body.success, greeted.body.data], [200, true, { text: 'Hello Ada' }])
      crm.contacts = [
        { id: 1, name: 'Ada' },
        { id: 2, name: 'Bo' },
      ]
      const run = await api.post('/api/syncs/acme%2Fcontacts/run')
      await eventually(async () => (await api.get(`/api/jobs/${run.body.id}`)).body.status === 'succeeded', 'the run')
      assert.equal((await api.post('/api/syncs/acme%2Fcontacts/plan')).body.inserts, 0)
      const [last] = (await api.get('/api/runs?sync=acme%2Fcontacts')).body.items ?? []
      assert.deepEqual([last?.inserted, last?.updated, last?.deleted], [0, 1, 1])
      const changed = await api.call('PUT', '/api/connections/acme', { config: { token: 'no longer' } })
      assert.equal(changed.status, 200, changed.text)
      const checked = (await api.post('/api/connections/acme/check')).body
      assert.deepEqual([checked.healthy, /401/.test(JSON.stringify(checked.error))], [false, true])
      const refused = await api.post('/api/syncs/acme%2Fcontacts/run')
      const job = async () => (await api.get(`/api/jobs/${refused.body.id}`)).body
      await eventually(async () => (await job()).status === 'failed', 'the run with what it says now')
      assert.match(JSON.stringify((await job()).error), /401/)
      assert.equal((await api.call('PUT', '/api/connections/acme', { activeSyncs: [] })).status, 200)
      assert.equal((await api.get('/api/syncs/acme%2Fcontacts')).status, 404)
      assert.equal((await api.call('DELETE', '/api/connections/acme')).status, 204)
      assert.equal((await api.get('/api/connections/acme')).status, 404)
      assert.deepEqual(names(await api.get('/api/syncs')), ['orders'])
      assert.equal((await api.call('DELETE', '/api/connections/shop')).status, 403)
    })

    test('hazards 26 and 27: connections are there again after kill -9, and no credential is in any answer, line or file', async () => {
      await using home = await makeHome()
      await using crm = await new Crm().start()
      using it = new ServiceProject(crm.config(), home.environment)
      it.change('shop.db', 'create table orders (id integer primary key)')
      const begin = async (known: string | null) => {
        const service = it.start('start', '--port', '0')
        await service.event('ready')
        if (known === null) await eventually(() => /slk_\S+/.test(service.stderr), 'the first key')
        const key = known ?? /slk_\S+/.exec(service.stderr)?.[0] ?? ''
        const url = String(service.lines.find(({ event }) => event === 'ready')?.url)
        return { service, key, api: new Api(url, key) }
      }
      const first = await begin(null)
      assert.equal((await first.api.post('/api/connections', made)).status, 201)
      await gathered(first.api, 'acme')
      const session = await first.api.post('/api/flows', { integration: 'ours' })
      await first.api.post(`/api/flows/${session.body.sessionId}`, { answer: { token: CANARY } })
      first.service.kill('SIGKILL')
      await first.service.end()
      crm.contacts = [...crm.contacts, { id: 4, name: 'Di' }]
      const second = await begin(first.key)
      assert.deepEqual((await second.api.get('/api/connections/acme')).body.syncs, ['acme/contacts'])
      assert.equal((await second.api.post('/api/syncs/acme%2Fcontacts/run')).status, 202)
      await eventually(
        async () => (await second.api.get('/api/collections/acme/contacts')).body.items?.length === 4,
        'the new row',
      )
      const done = await second.api.post(`/api/flows/${session.body.sessionId}`, { answer: { confirmed: true } })
      assert.equal(done.body.status, 'completed')
      const answers: string[] = []
      const { body } = await second.api.get('/openapi.json')
      for (const [path, methods] of Object.entries(body.paths as Record<string, object>))
        for (const method of Object.keys(methods).filter((one) => one !== 'delete' && path !== '/api/events')) {
          const concrete = path
            .replace('{name}', path.includes('/syncs/') ? 'acme%2Fcontacts' : 'acme')
            .replace('{connection}', 'acme')
            .replace('{sync}', 'contacts')
            .replace('{integration}', 'ours')
            .replace('{action}', 'break')
            .replace(/\{\w+\}/g, '1')
          answers.push((await second.api.call(method.toUpperCase(), concrete, method === 'get' ? undefined : {})).text)
        }
      second.service.kill('SIGINT')
      const { code, lines, stderr } = await second.service.end()
      assert.equal(code, 0)
      const files = readdirSync(join(it.folder, '.syncline'), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
      const told = [JSON.stringify([first.service.lines, lines]), first.service.stderr, stderr]
      for (const text of [...answers, ...files, ...told])
        for (const canary of [CANARY, APP_CANARY]) assert.ok(!text.includes(canary), text.slice(0, 300))
    })

    test('the command line lists connections without their secrets, prints what was gathered, and triggers its syncs', async () => {
      await using home = await makeHome()
      await using crm = await new Crm().start()
      await using it = new Served({ config: crm.config() }, home.environment)
      const api = await it.ready()
      assert.equal((await api.post('/api/connections', { ...made, project: 'red' })).status, 201)
      await gathered(api, 'acme')
      const { lines, stderr } = await it.project.run('connections')
      assert.deepEqual(
        lines.map(({ name, origin, integration, project }) => [name, origin, integration, project]),
        [
          ['shop', 'config', undefined, undefined],
          ['copy', 'config', undefined, undefined],
          ['crm', 'config', undefined, undefined],
          ['acme', 'api', 'ours', 'red'],
        ],
      )
      assert.ok(!`${JSON.stringify(lines)}${stderr}`.includes('canary'))
      assert.deepEqual((await it.project.run('rows', 'acme', 'contacts')).lines, crm.contacts)
      assert.equal(
        (await it.project.text('rows', 'acme', 'contacts', '--format', 'csv')).split('\r\n')[2],
        '2,"Bo, ""the"" boss"',
      )
      const unknown = await it.project.run('rows', 'acme', 'deals')
      assert.deepEqual([unknown.code, /COLLECTION_UNKNOWN/.test(JSON.stringify(unknown.lines))], [2, true])
      crm.contacts = []
      assert.equal((await it.project.run('trigger', 'acme/contacts')).code, 0)
      await it.service.event('run.finished', ({ sync, status }) => sync === 'acme/contacts' && status === 'held')
      assert.equal((await it.project.run('trigger', 'acme/contact')).code, 2)
    })
  })
}
