/** What is set at run time is told to listeners: what changed, and never a secret. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Api } from './api.ts'
import { APP_CANARY, CANARY, Crm } from './crm.ts'
import { eventually } from './project.ts'
import { Served } from './served.ts'

describe('changes of settings', () => {
  test('are events that say what, and hold nothing of it', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config() })
    const api = await it.ready()
    await using all = await Heard.by(it.url, it.key)
    const sync = { from: 'shop.orders', to: 'copy.made', schedule: 'manual' }
    await api.call('PUT', '/api/syncs/made', sync)
    await api.call('PUT', '/api/syncs/made', { ...sync, every: undefined, mode: 'full' })
    await api.post('/api/syncs/made/pause')
    await api.post('/api/syncs/made/resume')
    const start = { project_id: 'p', sync_type: 'pull', source_platform: 'shop', target_entity: 'made', schedule: '1h' }
    await api.post('/sync/start', start)
    await api.call('DELETE', '/api/syncs/made')
    await api.post('/api/connections', { name: 'acme', integration: 'ours', config: { token: CANARY } })
    await api.call('PUT', '/api/connections/acme', { minutesBetweenSyncs: 5 })
    await api.call('DELETE', '/api/connections/acme')
    const key = await api.post('/api/keys', { name: 'other', scope: 'read' })
    await api.call('DELETE', `/api/keys/${key.body.id}`)
    const hook = await api.post('/api/webhooks', { url: 'http://127.0.0.1:1/?canary-url', events: ['run.failed'] })
    await api.call('DELETE', `/api/webhooks/${hook.body.id}`)
    it.project.configure(crm.config('// saved'))
    const expected = [
      'sync made made',
      'sync made changed',
      'schedule made paused',
      'schedule made resumed',
      'schedule made changed',
      'sync made removed',
      'connection acme made',
      'connection acme changed',
      'connection acme removed',
      `key ${key.body.id} made`,
      `key ${key.body.id} removed`,
      `webhook ${hook.body.id} made`,
      `webhook ${hook.body.id} removed`,
      'file syncline.config.ts changed',
    ]
    await eventually(() => all.changes().length === expected.length, `all of it: ${all.text}`)
    assert.deepEqual(all.changes(), expected)
    for (const secret of [CANARY, APP_CANARY, String(key.body.key), String(hook.body.secret), 'canary-url', 'slk_'])
      assert.ok(!all.text.includes(secret), secret)
  })

  test('a key of a project hears of its own only, and a call that is refused changes nothing', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config() })
    const api = await it.ready()
    const made = await api.post('/api/keys', { name: 'red', scope: 'admin', project: 'red' })
    const red = new Api(it.url, String(made.body.key))
    await using heard = await Heard.by(it.url, String(made.body.key))
    await api.call('PUT', '/api/syncs/ours', { from: 'shop.orders', to: 'copy.ours', schedule: 'manual' })
    await api.call('PUT', '/api/syncs/wrong', { from: 'shop.orders' })
    await red.call('PUT', '/api/syncs/theirs', { from: 'shop.orders', to: 'copy.theirs', schedule: 'manual' })
    await eventually(() => heard.changes().length > 0, 'its own')
    assert.deepEqual(heard.changes(), ['sync theirs made'])
  })
})

describe('when a sync runs', () => {
  test('is what a call says, in any form and zone, until it is taken back: then what its definition says', async () => {
    await using crm = await new Crm().start()
    await using it = new Served({ config: crm.config() })
    const api = await it.ready()
    const at = '/api/syncs/made'
    const told = async () => {
      const { schedule, scheduledBy, paused } = (await api.get(at)).body
      return [schedule, scheduledBy, paused]
    }
    await api.call('PUT', at, { from: 'shop.orders', to: 'copy.made', schedule: '6h' })
    assert.deepEqual(await told(), ['every 6h', 'definition', false])
    const berlin = '0 6 * * 1-5 (Europe/Berlin)'
    for (const schedule of [berlin, { cron: '0 6 * * 1-5', zone: 'Europe/Berlin' }]) {
      const body = { project_id: 'p', sync_type: 'pull', source_platform: 'shop', target_entity: 'made', schedule }
      assert.equal((await api.post('/sync/start', body)).status, 202)
      assert.deepEqual(await told(), [berlin, 'call', false])
    }
    assert.equal((await api.call('PUT', `${at}/schedule`, { schedule: { every: '2h' } })).body.schedule, 'every 2h')
    assert.equal((await api.call('PUT', `${at}/schedule`, { schedule: 'soon' })).body.code, 'CONFIG_INVALID')
    assert.equal((await api.call('PUT', `${at}/schedule`, { schedule: { after: 'orders' } })).status, 400)
    // A definition that changes does not take its place.
    await api.call('PUT', at, { from: 'shop.orders', to: 'copy.made', schedule: '7h' })
    await api.post(`${at}/pause`)
    assert.deepEqual(await told(), ['every 2h', 'call', true])
    assert.equal((await api.call('DELETE', `${at}/schedule`)).body.schedule, 'every 7h')
    assert.deepEqual(await told(), ['every 7h', 'definition', true])
    assert.equal((await api.call('DELETE', `${at}/schedule`)).status, 200)
    // Those of a connection are set with it, in the same forms.
    const schedules = { contacts: { cron: '0 6 * * 1-5', zone: 'Europe/Berlin' } }
    const made = { name: 'acme', integration: 'ours', config: { token: CANARY }, schedules }
    assert.equal((await api.post('/api/connections', made)).status, 201)
    assert.deepEqual((await api.get('/api/connections/acme')).body.schedules, { contacts: berlin })
    assert.equal((await api.call('DELETE', '/api/syncs/acme%2Fcontacts/schedule')).status, 403)
  })
})

/** What one listener hears. */
class Heard implements AsyncDisposable {
  text = ''
  readonly #stop = new AbortController()
  #ended: Promise<void> = Promise.resolve()

  static async by(url: string, key: string): Promise<Heard> {
    const heard = new Heard()
    const answer = await fetch(`${url}/api/events`, {
      headers: { authorization: `Bearer ${key}` },
      signal: heard.#stop.signal,
    })
    heard.#ended = heard.#read(answer).catch(() => {})
    await eventually(() => heard.text !== '', 'the stream')
    return heard
  }

  async #read(answer: Response): Promise<void> {
    const decoder = new TextDecoder()
    for await (const chunk of answer.body ?? []) this.text += decoder.decode(chunk, { stream: true })
  }

  changes(): readonly string[] {
    return this.text.split('\n\n').flatMap((event) => {
      const data = /^event: config\.changed\ndata: (.+)$/m.exec(event)?.[1]
      if (data === undefined) return []
      const { what, name, change } = JSON.parse(data) as Readonly<Record<string, unknown>>
      return [`${what} ${name} ${change}`]
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#ended
  }
}
