import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Api } from './api.ts'
import { eventually } from './project.ts'
import { Served } from './served.ts'

describe('the server', () => {
  test('runs, plans, verifies and resets syncs, and tells of runs and jobs', async () => {
    await using it = new Served()
    const api = await it.ready()
    assert.deepEqual(
      (await api.get('/api/syncs')).body.items?.map(({ name }) => name),
      ['orders', 'contacts'],
    )
    const [page, rest, nowhere] = await Promise.all(
      ['limit=1', 'limit=1&after=orders', 'after=order'].map((query) => api.get(`/api/syncs?${query}`)),
    )
    assert.deepEqual(
      [page, rest].map((it) => [it?.body.items?.map(({ name }) => name), it?.body.next]),
      [
        [['orders'], 'orders'],
        [['contacts'], null],
      ],
    )
    assert.deepEqual([nowhere?.status, nowhere?.body.code], [400, 'USAGE_INVALID'])
    const plan = await api.post('/api/syncs/orders/plan')
    assert.deepEqual([plan.status, plan.body.inserts], [200, 2])
    const run = await api.post('/api/syncs/orders/run')
    assert.deepEqual([run.status, run.body.sync, run.body.priority], [202, 'orders', 'default'])
    await eventually(async () => (await api.get(`/api/jobs/${run.body.id}`)).body.status === 'succeeded', 'the run')
    const verified = await api.post('/api/syncs/orders/verify')
    assert.deepEqual([verified.status, verified.body.equal, verified.body.right], [200, true, 2])
    const runs = await api.get('/api/runs?sync=orders')
    assert.deepEqual(
      runs.body.items?.map(({ status, inserted }) => [status, inserted]),
      [['succeeded', 2]],
    )
    assert.equal((await api.get(`/api/runs/${runs.body.items?.[0]?.run}`)).body.inserted, 2)
    assert.equal((await api.post('/api/syncs/orders/reset')).status, 204)
    // What another process runs is not reset under it.
    const lease = `holder = 'another', expires_at = ${Date.now() + 15_000}`
    it.project.change('.syncline/state.db', `update lease set ${lease} where sync = 'orders'`)
    const held = await api.post('/api/syncs/orders/reset')
    assert.deepEqual([held.status, held.body.code], [409, 'LEASE_LOST'])
    it.project.change('.syncline/state.db', "update lease set holder = null where sync = 'orders'")
    const contacts = await api.post('/api/syncs/contacts/plan')
    assert.equal(contacts.status, 200)
    const unknown = await api.post('/api/syncs/ordres/run')
    assert.deepEqual(
      [unknown.status, unknown.type, unknown.body.code],
      [404, 'application/problem+json; charset=utf-8', 'SYNC_UNKNOWN'],
    )
    assert.match(String(unknown.body.detail), /did you mean "orders"/)
  })

  test('POST /sync/start runs and answers with what came of it; with a schedule it registers; candidates are named', async () => {
    await using it = new Served()
    const api = await it.ready()
    const request = { project_id: 'pf-456', sync_type: 'pull', source_platform: 'shop', target_entity: 'orders' }
    const first = await api.post('/sync/start', request)
    assert.equal(first.status, 200, first.text)
    assert.deepEqual(
      [first.body.status, first.body.synced_items, first.body.conflicts_detected, first.body.conflict_resolution],
      ['success', 2, 0, 'auto_override_from_remote'],
    )
    assert.match(String(first.body.last_sync), /^\d{4}-\d\d-\d\dT/)
    const both = await api.post('/sync/start', {
      ...request,
      sync_type: 'bidirectional',
      target_entity: 'contacts',
      source_platform: 'crm',
    })
    assert.deepEqual(
      [both.status, both.body.synced_items, both.body.conflict_resolution],
      [200, 1, 'auto_override_from_remote'],
    )
    const scheduled = await api.post('/sync/start', { ...request, schedule: 'every_15_minutes' })
    assert.deepEqual([scheduled.status, scheduled.body.status], [202, 'scheduled'])
    const { body } = await api.get('/api/syncs/orders')
    assert.ok(body.nextAt !== null)
    const nothing = await api.post('/sync/start', { ...request, target_entity: 'invoices' })
    assert.deepEqual([nothing.status, nothing.body.code], [404, 'SYNC_UNKNOWN'])
    assert.match(String(nothing.body.hint), /orders/)
    assert.equal((await api.post('/sync/start', { ...request, schedule: 'sometimes' })).status, 422)
    assert.equal((await api.post('/sync/start', { ...request, sync_type: 'sideways' })).status, 400)
    const other = await api.post('/sync/start', {
      ...request,
      sync_type: 'bidirectional',
      target_entity: 'contacts',
      source_platform: 'crm',
      strategy: 'manual_review',
    })
    assert.equal(other.status, 422)
  })

  test('POST /sync/start means by local the side that the sync says is local', async () => {
    const contacts = { match: ['email'], fields: { email: 'email', name: 'name' }, schedule: 'manual' }
    const sides = { between: ['crm.contacts', 'shop.contacts'], local: 'right', onConflict: 'prefer_local' }
    await using it = new Served({ syncs: { contacts: { ...contacts, ...sides } } })
    const api = await it.ready()
    const request = {
      project_id: 'pf-456',
      sync_type: 'bidirectional',
      source_platform: 'crm',
      target_entity: 'contacts',
    }
    const local = await api.post('/sync/start', { ...request, strategy: 'prefer_local' })
    assert.deepEqual([local.status, local.body.conflict_resolution], [200, 'auto_override_from_local'], local.text)
    assert.equal((await api.post('/sync/start', { ...request, strategy: 'prefer_remote' })).status, 422)
  })

  test('hazard 26: without a key only health and ready answer; a key does what its scope says', async () => {
    await using it = new Served()
    const admin = await it.ready()
    const nobody = new Api(it.url, null)
    assert.deepEqual([(await nobody.get('/api/health')).status, (await nobody.get('/api/ready')).status], [200, 200])
    const { body } = await nobody.get('/openapi.json')
    const made = await admin.post('/api/keys', { name: 'reader', scope: 'read' })
    assert.equal(made.status, 201)
    const reader = new Api(it.url, String(made.body.key))
    const needed: Record<string, number> = { read: 0, operate: 1, admin: 2 }
    let routes = 0
    for (const [path, methods] of Object.entries(
      body.paths as Record<string, Record<string, { security?: unknown; description?: string }>>,
    )) {
      for (const [method, { security, description }] of Object.entries(methods)) {
        if (security === undefined) continue
        routes++
        const concrete = path.replace(/\{\w+\}/g, 'x')
        // After twenty without a key, the answer is 429.
        assert.ok([401, 429].includes((await nobody.call(method.toUpperCase(), concrete)).status), `${method} ${path}`)
        const scope = /scope (\w+)/.exec(description ?? '')?.[1] ?? ''
        if ((needed[scope] ?? 0) > 0)
          assert.equal((await reader.call(method.toUpperCase(), concrete)).status, 403, `${method} ${path}`)
      }
    }
    assert.ok(routes > 15)
    assert.equal((await reader.get('/api/syncs')).status, 200)
    assert.equal((await reader.get('/metrics')).status, 200)
    assert.equal((await nobody.get('/metrics')).status, 429)
    assert.ok(!(await admin.get('/api/keys')).text.includes('slk_'))
    assert.equal((await admin.call('DELETE', `/api/keys/${made.body.id}`)).status, 204)
    assert.ok([401, 429].includes((await reader.get('/api/syncs')).status))
    const wrong = new Api(it.url, `slk_${'0'.repeat(12)}_${'A'.repeat(32)}`)
    const answers: number[] = []
    for (let attempt = 0; attempt < 30; attempt++) answers.push((await wrong.get('/api/syncs')).status)
    assert.equal(answers.at(-1), 429)
  })

  test('every list is read page by page', async () => {
    await using it = new Served()
    const api = await it.ready()
    for (const name of ['a', 'b', 'c']) await api.post('/api/keys', { name, scope: 'read' })
    for (const port of [1, 2, 3]) await api.post('/api/webhooks', { url: `http://127.0.0.1:${port}/` })
    for (const list of ['keys', 'webhooks', 'connections', 'syncs', 'connectors', 'integrations', 'limits']) {
      const whole = (await api.get(`/api/${list}`)).body.items ?? []
      const pages: unknown[] = []
      for (let after: unknown = ''; after !== null; ) {
        const { body } = await api.get(`/api/${list}?limit=2${after === '' ? '' : `&after=${after}`}`)
        assert.ok((body.items?.length ?? 3) <= 2, list)
        pages.push(...(body.items ?? []))
        after = body.next
      }
      assert.deepEqual(pages, whole, list)
      assert.equal((await api.get(`/api/${list}?after=nowhere`)).body.code, 'USAGE_INVALID', list)
    }
  })

  test('a sync of the config that says whose it is, is seen and run by keys of that project; one made by the API can’t say so', async () => {
    const orders = { from: 'shop.orders', to: 'copy', schedule: 'manual' }
    await using it = new Served({ syncs: { ours: { ...orders, project: 'red' }, nobodys: { ...orders, to: 'crm.o' } } })
    const admin = await it.ready()
    const keyOf = async (project: string) =>
      new Api(it.url, String((await admin.post('/api/keys', { name: project, scope: 'admin', project })).body.key))
    const [red, blue] = [await keyOf('red'), await keyOf('blue')]
    const names = async (api: Api) => (await api.get('/api/syncs')).body.items?.map(({ name }) => name).sort()
    assert.deepEqual([await names(admin), await names(red), await names(blue)], [['nobodys', 'ours'], ['ours'], []])
    const job = await red.post('/api/syncs/ours/run')
    await eventually(async () => (await red.get(`/api/jobs/${job.body.id}`)).body.status === 'succeeded', 'the run')
    assert.equal((await red.get('/api/runs')).body.items?.length, 1)
    assert.equal((await blue.post('/api/syncs/ours/run')).status, 404)
    // It is the file's all the same.
    assert.equal((await red.call('PUT', '/api/syncs/ours', orders)).status, 403)
    const claimed = await red.call('PUT', '/api/syncs/mine', { ...orders, to: 'copy.mine', project: 'blue' })
    assert.equal(claimed.body.code, 'CONFIG_INVALID')
    assert.match(String(claimed.body.detail), /can't say whose it is/)
  })

  test('a sync made by the API runs, stays over a restart, and is taken away; a wrong one is told and changes nothing', async () => {
    await using it = new Served()
    const api = await it.ready()
    const put = (definition: unknown) => api.call('PUT', '/api/syncs/made', definition)
    assert.equal((await put({ from: 'shop.orders', to: 'copy.made', every: '200ms' })).status, 201)
    await eventually(
      async () =>
        ((await api.get('/api/runs?sync=made')).body.items ?? []).some(({ status }) => status === 'succeeded'),
      'its run',
    )
    const wrong = await put({ from: 'nowhere.orders', to: 'copy.made' })
    assert.deepEqual([wrong.status, wrong.body.code], [422, 'CONFIG_INVALID'])
    assert.equal((await put({ from: 'shop.orders', to: { env: 'HOME' } })).status, 422)
    assert.equal(
      (await put({ from: 'shop.orders', to: 'copy.made', fields: { id: 'id', x: { compute: 'row => 1' } } })).status,
      422,
    )
    assert.equal((await api.get('/api/syncs/made')).body.origin, 'api')
    const { lines } = await it.project.run('plan', 'made')
    assert.equal(lines[0]?.sync, 'made')
    assert.equal((await api.call('DELETE', '/api/syncs/orders')).status, 403)
    assert.equal((await api.call('DELETE', '/api/syncs/made')).status, 204)
    assert.equal((await api.get('/api/syncs/made')).status, 404)
  })

  test('what the config file says is changed there: a call is refused, says so, and changes nothing', async () => {
    await using it = new Served()
    const api = await it.ready()
    const before = [await api.get('/api/connections'), await api.get('/api/syncs/orders')].map(({ text }) => text)
    const calls: readonly (readonly [string, string, unknown?])[] = [
      ['PUT', '/api/connections/shop', { config: { file: './other.db' } }],
      ['DELETE', '/api/connections/shop'],
      ['PUT', '/api/syncs/orders', { from: 'shop.orders', to: 'copy.other' }],
      ['DELETE', '/api/syncs/orders'],
    ]
    for (const [method, path, body] of calls) {
      const { status, body: told, text } = await api.call(method, path, body)
      assert.deepEqual([status, told.code, /config file/.test(text)], [403, 'FORBIDDEN', true], `${method} ${path}`)
    }
    const after = [await api.get('/api/connections'), await api.get('/api/syncs/orders')].map(({ text }) => text)
    assert.deepEqual(after, before)
  })

  test('the same Idempotency-Key is carried out once and answered twice', async () => {
    await using it = new Served()
    const api = await it.ready()
    const key = { 'idempotency-key': 'abc' }
    const [first, second] = [
      await api.post('/api/syncs/orders/run', undefined, key),
      await api.post('/api/syncs/orders/run', undefined, key),
    ]
    assert.deepEqual([first.status, second.status, second.body.id], [202, 202, first.body.id])
    assert.equal((await api.post('/api/keys', { name: 'b', scope: 'read' }, key)).status, 400)
    const failing = await api.post('/api/syncs/none/run', undefined, { 'idempotency-key': 'd' })
    assert.equal(failing.status, 404)
    assert.equal((await api.get('/api/keys')).body.items?.length, 1)
  })

  test('JSON nested deeper than can be followed is refused, not a failure', async () => {
    await using it = new Served()
    const api = await it.ready()
    const nested = `{"from":${'['.repeat(100_000)}${']'.repeat(100_000)}}`
    for (const [method, path] of [
      ['PUT', '/api/syncs/deep'],
      ['POST', '/api/keys'],
      ['POST', '/sync/start'],
    ] as const) {
      const { status, body } = await api.call(method, path, nested, { 'idempotency-key': 'deep' })
      assert.deepEqual([status, body.code], [400, 'USAGE_INVALID'], path)
    }
  })

  test('hazard 26: an answer that tells a secret is kept nowhere: sent again, it is refused, and nothing is made twice', async () => {
    await using it = new Served()
    const api = await it.ready()
    const requests = {
      keys: { name: 'a', scope: 'read' },
      webhooks: { url: 'http://127.0.0.1:1/', events: ['job.ended'] },
    }
    for (const [name, body] of Object.entries(requests)) {
      const send = () => api.post(`/api/${name}`, body, { 'idempotency-key': `abc${name}` })
      const before = (await api.get(`/api/${name}`)).body.items?.length ?? 0
      const first = await send()
      assert.equal(first.status, 201)
      const canary = /slk_[\w-]+|whsec_[^"]+/.exec(first.text)?.[0] ?? assert.fail(first.text)
      const again = await send()
      assert.deepEqual([again.status, again.body.code], [409, 'ANSWER_SECRET'])
      assert.equal((await api.get(`/api/${name}`)).body.items?.length, before + 1)
      const home = join(it.project.folder, '.syncline')
      for (const file of readdirSync(home)) assert.ok(!readFileSync(join(home, file), 'latin1').includes(canary), file)
    }
  })

  test('events come as they happen, the description is complete, and metrics count', async () => {
    await using it = new Served()
    const api = await it.ready()
    const stop = new AbortController()
    const stream = await fetch(`${it.url}/api/events`, {
      headers: { authorization: `Bearer ${it.key}` },
      signal: stop.signal,
    })
    let heard = ''
    const reading = (async () => {
      for await (const chunk of stream.body ?? []) heard += Buffer.from(chunk).toString()
    })().catch(() => {})
    await api.post('/api/syncs/orders/run')
    await eventually(() => /event: run\.finished\ndata: \{.*"sync":"orders"/.test(heard), 'the event')
    stop.abort()
    await reading
    const { body } = await api.get('/openapi.json')
    assert.equal(body.openapi, '3.1.0')
    const docs = await api.get('/docs')
    assert.match(docs.text, /POST.*\/sync\/start.*Answers: <b>200<\/b> <a href="#schema-SyncResult">/s)
    assert.match(docs.text, /<article id="schema-SyncResult">/)
    const metrics = await api.get('/metrics')
    assert.match(metrics.text, /syncline_runs_total\{sync="orders",status="succeeded"\} 1/)
    assert.match(metrics.text, /syncline_rows_total\{sync="orders",what="inserted"\} 2/)
  })
})

describe('syncs made by the API', () => {
  test('one that clashes is refused and leaves nothing behind; a pattern is taken away by its name; its owner stays', async () => {
    await using it = new Served()
    const admin = await it.ready()
    const clash = await admin.call('PUT', '/api/syncs/clash', { from: 'shop', to: 'copy', collections: ['ord*'] })
    assert.deepEqual([clash.status, clash.body.code], [409, 'TARGET_SHARED'])
    const circle = await admin.call('PUT', '/api/syncs/loop', {
      from: 'shop.contacts',
      to: 'copy.loop',
      schedule: { after: 'loop' },
    })
    assert.equal(circle.status, 422)
    const pattern = await admin.call('PUT', '/api/syncs/many', {
      from: 'shop',
      to: 'copy',
      collections: ['contacts'],
      schedule: 'manual',
    })
    assert.deepEqual(
      pattern.body.items?.map(({ name }) => name),
      ['many/contacts'],
      pattern.text,
    )
    assert.equal((await admin.call('DELETE', '/api/syncs/many%2Fcontacts')).status, 403)
    assert.equal((await admin.call('DELETE', '/api/syncs/many')).status, 204)
    assert.deepEqual(
      (await admin.get('/api/syncs')).body.items?.map(({ name }) => name),
      ['orders', 'contacts'],
    )
    const red = new Api(
      it.url,
      String((await admin.post('/api/keys', { name: 'red', scope: 'admin', project: 'red' })).body.key),
    )
    const mine = { from: 'shop.orders', to: 'copy.mine', schedule: 'manual' }
    assert.equal((await red.call('PUT', '/api/syncs/mine', mine)).status, 201)
    assert.equal((await admin.call('PUT', '/api/syncs/mine', { ...mine, deletes: 'keep' })).status, 200)
    assert.equal((await red.get('/api/syncs/mine')).body.project, 'red')
    const theirs = await red.call('PUT', '/api/syncs/theirs', { from: 'crm.contacts', to: 'copy.theirs' })
    assert.deepEqual([theirs.status, theirs.body.code], [403, 'FORBIDDEN'])
    assert.deepEqual(
      (await red.get('/api/connections')).body.items?.map(({ name }) => name),
      ['shop', 'copy'],
    )
    assert.equal((await red.get('/metrics')).status, 403)
    await red.post('/sync/start', {
      project_id: 'red',
      sync_type: 'pull',
      source_platform: 'shop',
      target_entity: 'mine',
      schedule: '1h',
    })
    assert.equal((await red.get('/api/syncs/mine')).body.schedule, 'every 1h')
    assert.equal((await red.call('DELETE', '/api/syncs/mine')).status, 204)
    assert.deepEqual(
      (await it.project.run('jobs')).lines.filter(({ sync }) => sync === 'mine'),
      [],
    )
  })

  test('wrong keys of others do not lock out a good one', async () => {
    await using it = new Served()
    const admin = await it.ready()
    const wrong = new Api(it.url, null)
    const answers: number[] = []
    for (let attempt = 0; attempt < 13; attempt++)
      answers.push((await wrong.get('/api/syncs')).status, (await wrong.get('/api/runs')).status)
    assert.deepEqual([answers.at(0), answers.at(-1)], [401, 429])
    assert.equal((await admin.get('/api/syncs')).status, 200)
  })
})

describe('what waits for a person', () => {
  test('conflicts are listed, shown and decided; rows that could not be written are named', async () => {
    await using it = new Served({
      syncs: {
        contacts: {
          between: ['crm.contacts', 'shop.contacts'],
          match: ['email'],
          fields: { email: 'email', name: 'name' },
          onConflict: 'ask',
          schedule: 'manual',
        },
        strict: { from: 'crm.loose', to: 'copy.strict', schedule: 'manual' },
      },
    })
    it.project.change(
      'crm.db',
      "create table loose (id integer primary key, n integer); insert into loose values (1, 5), (2, 'five')",
    )
    const api = await it.ready()
    const run = async (name: string) => {
      const { body } = await api.post(`/api/syncs/${name}/run`)
      await eventually(
        async () => !['queued', 'running'].includes(String((await api.get(`/api/jobs/${body.id}`)).body.status)),
        'the run',
      )
    }
    await run('contacts')
    it.project.change('crm.db', "update contacts set name = 'Left' where id = 7")
    it.project.change('shop.db', "update contacts set name = 'Right' where id = 1")
    await run('contacts')
    const [conflict] = (await api.get('/api/conflicts')).body.items ?? []
    assert.deepEqual([conflict?.sync, conflict?.status], ['contacts', 'open'])
    const shown = await api.get(`/api/conflicts/${conflict?.id}`)
    assert.match(shown.text, /"left":"Left","right":"Right"/)
    assert.equal((await api.post(`/api/conflicts/${conflict?.id}/resolve`, {})).status, 400)
    const decided = await api.post(`/api/conflicts/${conflict?.id}/resolve`, { take: 'right' })
    assert.deepEqual([decided.status, decided.body.status], [200, 'decided'], decided.text)
    await run('contacts')
    assert.deepEqual((await api.get('/api/conflicts')).body.items, [])
    assert.equal((await api.get('/api/conflicts?all=true')).body.items?.length, 1)
    assert.deepEqual(it.project.query('crm.db', 'select name from contacts where id = 7')[0]?.name, 'Right')
    assert.equal((await api.get('/api/conflicts/99')).status, 404)
    const story = (await api.get('/api/syncs/contacts/why?key=7')).body
    assert.deepEqual(
      [story.pair, story.there],
      [
        { left: { id: 7 }, right: { id: 1 } },
        { left: true, right: true },
      ],
    )
    assert.deepEqual((story.fields as Record<string, unknown>).name, { base: 'Right', left: 'Right', right: 'Right' })
    const [write] = story.writes as readonly Readonly<Record<string, unknown>>[]
    assert.deepEqual([write?.side, write?.fields], ['left', { name: { before: 'Left', after: 'Right' } }])
    assert.deepEqual(story.conflicts, [], 'those that are over are told by /api/conflicts')
    assert.equal((await api.get('/api/syncs/contacts/why?key=99')).body.code, 'ROW_UNKNOWN')
    assert.equal((await api.get('/api/syncs/strict/why?key=1')).body.code, 'CONFIG_INVALID')
    assert.deepEqual((await api.get('/api/syncs/strict/dead-letters')).body.items, [])
    await run('strict')
    const [letter] = (await api.get('/api/syncs/strict/dead-letters')).body.items ?? []
    assert.deepEqual([letter?.key, letter?.code], [{ id: 2 }, 'VALUE_REFUSED'])
    const { lines } = await it.project.run('dead-letters')
    assert.deepEqual(
      lines.map(({ event, sync, code }) => [event, sync, code]),
      [['dead-letter', 'strict', 'VALUE_REFUSED']],
    )
  })

  test('dead letters are read page by page, and a retry puts a run into the queue, by the API and the command line', async () => {
    const connections = {
      crm: { connector: 'sqlite', file: './crm.db' },
      copy: { connector: 'sqlite', file: './copy.db' },
    }
    await using it = new Served({
      config: { connections, syncs: { strict: { from: 'crm.loose', to: 'copy.strict', schedule: 'manual' } } },
    })
    it.project.change(
      'crm.db',
      "create table loose (id integer primary key, n integer); insert into loose values (1, 5), (2, 'x'), (3, 'x'), (10, 'x')",
    )
    const api = await it.ready()
    const path = '/api/syncs/strict/dead-letters'
    const over = async (job: unknown) =>
      await eventually(
        async () => !['queued', 'running'].includes(String((await api.get(`/api/jobs/${job}`)).body.status)),
        'the run',
      )
    const retried = await api.post(`${path}/retry`)
    assert.deepEqual([retried.status, retried.body.sync], [202, 'strict'])
    await over(retried.body.id)
    const found: unknown[] = []
    for (let after = ''; ; ) {
      const { items = [], next } = (await api.get(`${path}?limit=2${after}`)).body
      found.push(...items.map(({ key }) => key))
      if (next === null) break
      assert.equal(items.length, 2)
      after = `&after=${next}`
      // What is written meanwhile does not disturb.
      it.project.change('crm.db', "update loose set n = 6 where n = 'x' and id = 10")
      await over((await api.post(`${path}/retry`)).body.id)
    }
    assert.deepEqual(found, [{ id: 10 }, { id: 2 }, { id: 3 }])
    it.project.change('crm.db', 'update loose set n = 7 where id = 2')
    const { lines } = await it.project.run('dead-letters', 'strict', '--retry')
    assert.equal(lines[0]?.event, 'job')
    await over(lines[0]?.id)
    const left = async (query: string) => (await api.get(`${path}${query}`)).body.items?.map(({ key }) => key)
    assert.deepEqual([await left(''), await left('?after=AAAA')], [[{ id: 3 }], [{ id: 3 }]])
    assert.equal((await it.project.run('dead-letters', '--retry')).code, 2)
  })
})
