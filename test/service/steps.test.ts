/** Active steps: actions that runs do before and after the rows, against a system that answers, fails, hangs. */
import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import { Api } from './api.ts'
import { eventually } from './project.ts'
import { Served } from './served.ts'

describe('active steps', () => {
  test('come before and after one-way and two-way syncs, of the config and of the API, with the counts of the run', async () => {
    await using hooks = await new Hooks().start()
    await using it = new Served({ config: hooks.config() })
    const api = await hooks.connect(it)
    assert.equal(await runOf(api, 'orders'), 'succeeded')
    assert.deepEqual(hooks.told(), ['before orders undefined', 'after orders 2'])
    assert.match(String(hooks.calls[1]?.startedAt), /^\d{4}-\d\d-\d\dT/)
    assert.equal(await runOf(api, 'contacts'), 'succeeded')
    assert.deepEqual(hooks.told().slice(2), ['after contacts 1'])
    const made = await api.call('PUT', '/api/syncs/made', {
      from: 'shop.orders',
      to: 'copy.made',
      schedule: 'manual',
      onBefore: { connection: 'hook', action: 'call', input: { to: 'before', sync: 'static' } },
      onAfter: {
        connection: 'hook',
        action: 'call',
        input: { jsonata: '{ "to": "after", "sync": sync, "inserted": inserted }' },
      },
    })
    assert.equal(made.status, 201, made.text)
    assert.equal(await runOf(api, 'made'), 'succeeded')
    assert.deepEqual(hooks.told().slice(3), ['before static undefined', 'after made 2'])
  })

  test('an input that is null means that there is nothing to do this time', async () => {
    await using hooks = await new Hooks().start()
    await using it = new Served({ config: hooks.config() })
    const api = await hooks.connect(it)
    await runOf(api, 'contacts')
    await runOf(api, 'contacts')
    assert.deepEqual(hooks.told(), ['after contacts 1'])
  })

  test('an onBefore that fails, is late or is forbidden fails the run before anything is written', async () => {
    await using hooks = await new Hooks().start()
    await using it = new Served({ config: hooks.config() })
    const api = await hooks.connect(it)
    for (const [mode, reason] of [
      ['fail', /onBefore of sync orders: action call of hook failed: .*500/],
      ['hang', /onBefore of sync orders: .*longer than 800 ms/],
      ['fine', /onBefore of sync orders: .*not while it is closed/],
    ] as const) {
      hooks.mode = mode
      if (mode === 'fine') it.project.change('shop.db', 'create table closed (id integer primary key)')
      assert.equal(await runOf(api, 'orders'), 'failed')
      const error = await lastError(api, 'orders')
      assert.equal(error?.code, 'BEFORE_FAILED')
      assert.match(String(error?.message), reason)
    }
    assert.deepEqual(it.project.query('copy.db', `select name from sqlite_schema where name = 'orders'`), [])
    it.project.change('shop.db', 'drop table closed')
    assert.equal(await runOf(api, 'orders'), 'succeeded')
  })

  test('an onAfter that fails is reported, what the run wrote stays, and the next run does it again', async () => {
    await using hooks = await new Hooks().start()
    await using it = new Served({ config: hooks.config() })
    const api = await hooks.connect(it)
    hooks.failing = 'after'
    assert.equal(await runOf(api, 'orders'), 'failed')
    assert.equal((await lastError(api, 'orders'))?.code, 'AFTER_FAILED')
    assert.equal((await api.get('/api/runs?sync=orders')).body.items?.[0]?.inserted, 2)
    assert.equal((await api.post('/api/syncs/orders/verify')).body.equal, true)
    hooks.failing = ''
    assert.equal(await runOf(api, 'orders'), 'succeeded')
    assert.equal(hooks.told().at(-1), 'after orders 0')
  })

  test('there is no onAfter after a run that failed', async () => {
    await using hooks = await new Hooks().start()
    await using it = new Served({ config: hooks.config() })
    const api = await hooks.connect(it)
    it.project.change('shop.db', 'drop table orders')
    assert.equal(await runOf(api, 'orders'), 'failed')
    assert.deepEqual(hooks.told(), ['before orders undefined'])
  })

  test('killed with -9 between a run and its onAfter: whoever takes the run over does it', async () => {
    await using hooks = await new Hooks().start()
    hooks.slow = true
    const it = new Served({ config: hooks.config() })
    using _project = it.project
    const api = await hooks.connect(it)
    hooks.hanging = 'after'
    await api.post('/api/syncs/orders/run')
    await eventually(() => hooks.told().includes('after orders 2'), 'the onAfter that hangs')
    it.service.kill('SIGKILL')
    await it.service.end()
    assert.equal(it.project.query('copy.db', 'select * from orders').length, 2)
    hooks.hanging = ''
    const again = it.project.start('start', '--port', '0')
    try {
      await again.event('run.finished', ({ sync, status }) => sync === 'orders' && status === 'succeeded')
      assert.equal(hooks.told().at(-1), 'after orders 0')
      const runs = it.project.query('.syncline/state.db', `select status from run where sync = 'orders' order by seq`)
      assert.deepEqual(
        runs.map(({ status }) => status),
        ['interrupted', 'succeeded'],
      )
    } finally {
      again.kill('SIGINT')
      await again.end()
    }
  })

  test('`syncline run` and `watch` do them; Ctrl-C stops one, and the next run does it', async () => {
    await using hooks = await new Hooks().start()
    hooks.slow = true
    await using it = new Served({ config: hooks.config() })
    await hooks.connect(it)
    it.service.kill('SIGINT')
    await it.service.end()
    hooks.hanging = 'after'
    const stopped = it.project.start('run', 'orders')
    await eventually(() => hooks.told().includes('after orders 2'), 'the onAfter that hangs')
    stopped.kill('SIGINT')
    assert.equal((await stopped.end()).code, 130)
    const [run] = it.project.query('.syncline/state.db', `select status from run where sync = 'orders'`)
    assert.equal(run?.status, 'interrupted')
    hooks.hanging = ''
    const { code, stderr } = await it.project.run('run', 'orders')
    assert.equal(code, 0, stderr)
    assert.equal(hooks.told().at(-1), 'after orders 0')
    assert.equal((await it.project.run('run', 'alarmed')).code, 0)
    assert.equal(hooks.told().at(-1), 'alarm alarmed 2')
    const watch = it.project.start('watch', 'contacts')
    await eventually(() => hooks.told().at(-1) === 'after contacts 1', `its onAfter: ${watch.stderr}`)
    watch.kill('SIGINT')
    await watch.end()
  })

  test('connections of the config act, too: by the API, in steps, under limits and time-outs, and tell no secrets', async () => {
    await using hooks = await new Hooks().start()
    await using it = new Served({ config: hooks.config() })
    const api = await it.ready()
    const [listed] = (await api.get('/api/connections/alarm/actions')).body.items ?? []
    assert.deepEqual([listed?.name, listed?.timeoutMs], ['call', 800])
    assert.deepEqual((await api.get('/api/connections/shop/actions')).body.items, [])
    const act = (input: unknown, name = 'alarm/actions/call', by = api) =>
      by.post(`/api/connections/${name}`, { input })
    assert.equal((await act({ to: 'a' })).body.success, true)
    assert.deepEqual(
      [(await act({ to: 5 })).status, (await act({}, 'alarm/actions/cal')).body.code],
      [400, 'ACTION_UNKNOWN'],
    )
    assert.equal((await act({}, 'shop/actions/call')).body.code, 'ACTION_UNKNOWN')
    // Of two projects it is none's in particular, of one it is that one's.
    const ours = { red: ['shop', 'copy', 'alarm'] }
    for (const [projects, said] of [
      [{ ...ours, blue: ['siren'], green: ['siren'] }, 'siren of null'],
      [{ ...ours, green: ['siren'] }, 'siren of green'],
    ] as const) {
      it.project.configure(hooks.config(projects))
      await eventually(async () => (await act({}, 'siren/actions/call')).text.includes(said), said)
    }
    assert.equal(await runOf(api, 'alarmed'), 'succeeded')
    assert.deepEqual(hooks.told(), ['a undefined undefined', 'alarm alarmed 2'])
    hooks.mode = 'fail'
    assert.match(String((await act({})).body.error), /it answered 500 to \[secret\]/)
    assert.equal(await runOf(api, 'alarmed'), 'failed')
    assert.match(JSON.stringify(await lastError(api, 'alarmed')), /AFTER_FAILED.*call of alarm failed.*\[secret\]/)
    hooks.mode = 'hang'
    assert.equal((await act({})).body.code, 'TIMED_OUT')
    hooks.mode = 'late'
    await Promise.all([1, 2, 3].map(() => act({})))
    assert.equal(hooks.most, 1)
    hooks.mode = 'fine'
    const key = await api.post('/api/keys', { name: 'red', scope: 'admin', project: 'red' })
    const red = new Api(it.url, String(key.body.key))
    assert.deepEqual(
      [(await act({}, 'alarm/actions/call', red)).status, (await act({}, 'siren/actions/call', red)).status],
      [200, 404],
    )
    const sync = (connection: string, action: string) =>
      red.call('PUT', '/api/syncs/made', {
        from: 'shop.orders',
        to: 'copy.made',
        schedule: 'manual',
        onAfter: { connection, action, input: { to: 'made' } },
      })
    assert.equal((await sync('siren', 'call')).status, 403)
    const wrong = await sync('alarm', 'cal')
    assert.match(wrong.text, /CONFIG_INVALID.*syncs\.made\.onAfter\.action: .*did you mean/)
    assert.equal((await sync('alarm', 'call')).status, 201)
    assert.equal(await runOf(red, 'made'), 'succeeded')
    assert.equal(hooks.told().at(-1), 'made undefined undefined')
    assert.doesNotMatch(it.service.stderr + JSON.stringify(it.service.lines), /canary/)
  })

  test('a step through a connection that has no actions, or that is another project’s, is refused', async () => {
    await using hooks = await new Hooks().start()
    await using it = new Served({ config: hooks.config() })
    const api = await hooks.connect(it)
    const sync = (connection: string) => ({
      from: 'shop.orders',
      to: 'copy.made',
      onAfter: { connection, action: 'call' },
    })
    const none = await api.call('PUT', '/api/syncs/made', sync('shop'))
    assert.equal(none.status, 422)
    assert.match(String(none.body.detail), /syncs\.made\.onAfter\.connection: .*no actions/)
    const key = await api.post('/api/keys', { name: 'red', scope: 'admin', project: 'red' })
    const red = new Api(it.url, String(key.body.key))
    const foreign = await red.call('PUT', '/api/syncs/made', sync('hook'))
    assert.deepEqual([foreign.status, foreign.body.code], [403, 'FORBIDDEN'], foreign.text)
    await red.post('/api/connections', { name: 'own', integration: 'hooks', config: {} })
    assert.equal((await red.call('PUT', '/api/syncs/made', sync('own'))).status, 201)
  })
})

type Call = Readonly<Record<string, unknown>>

/** A system that keeps what it is told. */
class Hooks implements AsyncDisposable {
  readonly calls: Call[] = []
  mode: 'fine' | 'fail' | 'hang' | 'late' = 'fine'
  /** How many calls were open at a time, at most. */
  most = 0
  #open = 0
  /** The `to` of calls that fail, or are never answered. */
  failing = ''
  hanging = ''
  readonly #server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => {
      text += chunk
    })
    request.on('end', () => {
      const call = JSON.parse(text) as Call
      this.calls.push(call)
      if (this.mode === 'hang' || call.to === this.hanging) return
      if (this.mode === 'late') return this.#answerLate(response)
      response.writeHead(this.mode === 'fail' || call.to === this.failing ? 500 : 200).end()
    })
  })

  #answerLate(response: ServerResponse): void {
    this.most = Math.max(this.most, ++this.#open)
    setTimeout(() => {
      this.#open--
      response.writeHead(200).end()
    }, 50)
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  told(): readonly string[] {
    return this.calls.map(({ to, sync, inserted }) => `${to} ${sync} ${inserted}`)
  }

  async connect(it: Served): Promise<Api> {
    const api = await it.ready()
    const made = await api.post('/api/connections', { name: 'hook', integration: 'hooks', config: {} })
    assert.equal(made.status, 201, made.text)
    return api
  }

  config(projects: object = { red: ['shop', 'copy'] }): string {
    const url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
    return `
import { DatabaseSync } from 'node:sqlite'
import { defineConfig } from 'syncline'
import { defineConnector } from 'syncline/connector'
import { sqlite } from 'syncline/sqlite'
import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
const hooks = defineConnector({
  name: 'hooks',
  config: z.strictObject({ url: z.string(), token: z.string().default('') }),
  limits: { concurrent: 1 },
  actions: (action) => ({
    call: action({
      input: z.looseObject({ to: z.string().default('after') }),
      output: z.unknown(),
      timeoutMs: ${this.slow ? 600_000 : 800},
      run: async ({ config }, input, { fetch, signal }) => {
        const answer = await fetch(config.url, { method: 'POST', body: JSON.stringify(input), signal })
        if (!answer.ok) throw new Error('it answered ' + answer.status + ' to ' + config.token)
      },
    }),
  }),
})
const closed = () => {
  const shop = new DatabaseSync('./shop.db')
  const [found] = shop.prepare("select 1 from sqlite_schema where name = 'closed'").all()
  shop.close()
  return found !== undefined
}
export default defineConfig({
  connections: { shop: sqlite({ file: './shop.db', track: 'triggers' }), copy: sqlite({ file: './copy.db' }), crm: sqlite({ file: './crm.db' }),
    alarm: hooks({ url: ${JSON.stringify(url)}, token: 'canary-alarm' }), siren: hooks({ url: ${JSON.stringify(url)} }) },
  syncs: {
    orders: {
      from: 'shop.orders', to: 'copy', schedule: 'manual',
      onBefore: { connection: 'hook', action: 'call', input: ({ sync }) => ({ to: 'before', sync }) },
      onAfter: { connection: 'hook', action: 'call', input: (run) => ({ to: 'after', ...run }) },
    },
    contacts: {
      between: ['crm.contacts', 'shop.contacts'], match: ['email'], fields: { email: 'email', name: 'name' }, schedule: 'manual',
      onAfter: { connection: 'hook', action: 'call', input: (run) => run.inserted === 0 ? null : { to: 'after', ...run } },
    },
    alarmed: {
      from: 'shop.orders', to: 'copy.alarmed', schedule: 'manual',
      onAfter: { connection: 'alarm', action: 'call', input: ({ sync, inserted }) => ({ to: 'alarm', sync, inserted }) },
    },
  },
  projects: ${JSON.stringify(projects)},
  permit: ({ kind, connection, project }) => {
    if (kind === 'action' && connection === 'siren') return 'siren of ' + project
    return kind === 'action' && closed() ? 'not while it is closed' : true
  },
  connectors: [hooks],
  integrations: { hooks: { connector: 'hooks', config: { url: ${JSON.stringify(url)} } } },
})`
  }

  /** Whether its action has time enough to be killed in. */
  slow = false

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

async function runOf(api: Api, sync: string): Promise<unknown> {
  const { id } = (await api.post(`/api/syncs/${sync}/run`)).body
  const status = async () => (await api.get(`/api/jobs/${id}`)).body.status
  await eventually(async () => !['queued', 'running'].includes(String(await status())), `the run of ${sync}`)
  return await status()
}

async function lastError(api: Api, sync: string): Promise<Readonly<Record<string, unknown>> | null> {
  const [run] = (await api.get(`/api/runs?sync=${sync}`)).body.items ?? []
  return (run?.error ?? null) as Readonly<Record<string, unknown>> | null
}
