/** A catalogue of services that another program keeps: merged into what there is, and done without when it is away. */
import assert from 'node:assert/strict'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import type { Api, Called } from './api.ts'
import { CANARY, Crm } from './crm.ts'
import { eventually } from './project.ts'
import { Served } from './served.ts'

const services = [
  {
    name: 'Acme CRM',
    title: 'The CRM of Acme',
    scopes: ['contacts.read', { name: 'deals.read' }],
    integration: 'ours',
  },
  { name: 'Notion', description: 'Pages and databases', scopes: ['read_content'] },
  { name: 'Shopware', integration: 'shop' },
]

describe('a catalogue of services', () => {
  test('says more of integrations, which others there are, and what platforms are called', async () => {
    await using crm = await new Crm().start()
    await using catalogue = await new Catalogue().start()
    catalogue.answer = { services }
    await using it = new Served({ config: crm.config() }, { INTEGRATION_MANAGER_URL: catalogue.url })
    const api = await it.ready()
    const { items = [] } = (await api.get('/api/integrations')).body
    assert.deepEqual(
      items.map(({ name, title, origin, scopes, services: of }) => [name, title, origin, scopes, of]),
      [
        ['ours', 'The CRM of Acme', 'config', ['contacts.read', 'deals.read'], ['Acme CRM']],
        ['pushed', null, 'config', [], []],
        ['Notion', null, 'catalogue', ['read_content'], ['Notion']],
        ['Shopware', null, 'catalogue', [], ['Shopware']],
      ],
    )
    const one = await api.get('/api/integrations/Notion')
    assert.deepEqual([one.status, one.body.description, one.body.connector], [200, 'Pages and databases', null])
    assert.deepEqual(details(await api.get('/api/health')), { catalogue: 'reachable' })
    assert.equal((await start(api, 'Shopware', 'orders')).body.status, 'success')
    await api.post('/api/connections', { name: 'acme', integration: 'ours', config: { token: CANARY } })
    assert.equal((await start(api, 'the crm of acme', 'contacts')).body.status, 'success')
    assert.equal((await start(api, 'Notion', 'orders')).status, 404)
    assert.equal(catalogue.asked.length, 1, 'it is remembered')
    const sent = JSON.stringify(catalogue.asked)
    assert.ok(!sent.includes(CANARY) && !/authorization|cookie|slk_/i.test(sent), sent)
  })

  test('that is away, slow or talks nonsense is done without, told of once, and taken up when it is back', async () => {
    await using catalogue = await new Catalogue().start()
    for (const [answer, reason] of [
      ['{"services": 5}', /no list of services/],
      ['<html>secret-answer</html>', /no JSON/],
      [500, /answered 500/],
    ] as const) {
      catalogue.answer = answer
      await using it = new Served({}, { INTEGRATION_MANAGER_URL: catalogue.url })
      const api = await it.ready()
      for (let time = 0; time < 3; time++) assert.deepEqual((await api.get('/api/integrations')).body.items, [])
      assert.deepEqual(details(await api.get('/api/health')), { catalogue: 'unreachable' })
      assert.equal((await start(api, 'shop', 'orders')).body.status, 'success')
      assert.match(it.service.stderr, reason)
      assert.equal(it.service.stderr.split("can't be had").length, 2)
      assert.ok(!it.service.stderr.includes('secret-answer'))
    }
  })

  test('that does not answer holds nobody up for long', async () => {
    await using catalogue = await new Catalogue().start()
    catalogue.answer = null
    await using it = new Served({}, { INTEGRATION_MANAGER_URL: catalogue.url })
    const api = await it.ready()
    assert.deepEqual((await api.get('/api/integrations')).body.items, [])
    assert.deepEqual(details(await api.get('/api/health')), { catalogue: 'unreachable' })
    assert.match(it.service.stderr, /no answer within 3 s/)
  })

  test('is asked again after a while, and then as it is', async () => {
    await using catalogue = await new Catalogue().start()
    catalogue.answer = 503
    await using it = new Served({}, { INTEGRATION_MANAGER_URL: catalogue.url })
    const api = await it.ready()
    await eventually(async () => details(await api.get('/api/health')).catalogue === 'unreachable', 'it to be missed')
    catalogue.answer = services
    await eventually(async () => details(await api.get('/api/health')).catalogue === 'reachable', 'it to be back')
    assert.equal((await api.get('/api/integrations')).body.items?.length, 3)
    assert.match(it.service.stderr, /answers again/)
  })

  test('at an address with a password is refused', async () => {
    const it = new Served({}, { INTEGRATION_MANAGER_URL: 'http://me:hunter2@127.0.0.1:1/' })
    using _project = it.project
    const { code, stderr } = await it.service.end()
    assert.notEqual(code, 0)
    assert.match(stderr, /INTEGRATION_MANAGER_URL/)
    assert.ok(!stderr.includes('hunter2'))
  })
})

function details({ body }: Called): Readonly<Record<string, unknown>> {
  return body.details as Readonly<Record<string, unknown>>
}

async function start(api: Api, platform: string, entity: string): Promise<Called> {
  return await api.post('/sync/start', {
    project_id: 'pf-456',
    sync_type: 'pull',
    source_platform: platform,
    target_entity: entity,
  })
}

class Catalogue implements AsyncDisposable {
  readonly asked: IncomingHttpHeaders[] = []
  /** A status, a body, or null for no answer. */
  answer: unknown = []
  readonly #server = createServer((request, response) => {
    this.asked.push(request.headers)
    if (this.answer === null) return
    if (typeof this.answer === 'number') response.writeHead(this.answer).end('secret-answer')
    else response.end(typeof this.answer === 'string' ? this.answer : JSON.stringify(this.answer))
  })

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/services`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}
