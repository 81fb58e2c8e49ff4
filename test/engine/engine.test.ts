import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { z } from 'zod'
import { defineConnector } from '../../src/connectors/kit.ts'
import {
  type ConnectionStore,
  type EngineConnection,
  type EngineEvent,
  InMemoryConnectionStore,
} from '../../src/index.ts'
import { openMemoryStore, openSqliteStore } from '../../src/store/sqlite/store.ts'
import { eventually } from '../service/project.ts'
import { Api, connection, integration, makeEngine, scheduledRunIsOver } from './world.ts'

const folders: string[] = []
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'syncline-embed-'))
  folders.push(folder)
  return folder
}

describe('the engine for embedders', () => {
  test('hazard 26: a secret that a handler puts into its error is taken out of what is kept and told', async () => {
    const leaky = defineConnector({
      name: 'leaky',
      config: z.strictObject({ token: z.string() }),
      syncs: {
        rows: {
          fields: { id: 'integer' },
          run: ({ config }) => {
            throw new Error(`GET https://api/?token=${config.token}: 403`)
          },
        },
      },
      actions: (action) => ({
        call: action({
          input: z.object({}),
          output: z.object({}),
          run: ({ config }) => {
            throw new Error(`refused: ${config.token}`)
          },
        }),
      }),
    })
    const folder = newFolder()
    const told: string[] = []
    const engine = makeEngine(folder, { connectors: [leaky], log: (message) => told.push(message) })
    engine.subscribe((event) => told.push(JSON.stringify(event)))
    await engine.addIntegration({ id: 'ours', connectorId: 'leaky' })
    await engine.addConnection({ id: 'acme', integrationId: 'ours', config: { token: 'canary-of-a-handler' } })
    const run = await engine.executeSync('acme', 'rows')
    const action = await engine.executeAction('acme', 'call', {})
    await engine.destroy()
    assert.match(String(run.error), /token=\[secret\]: 403/)
    assert.match(String(action.error), /refused: \[secret\]/)
    assert.equal(action.code, 'HANDLER_FAILED')
    for (const text of [...stateOf(folder), ...told, JSON.stringify([run, action])])
      assert.ok(!text.includes('canary-of-a-handler'), text.slice(0, 200))
  })

  test('hazard 27: connections and their schedules are there again after a restart; hazard 26: no secret is in clear', async () => {
    await using api = await new Api().start()
    const folder = newFolder()
    const events: EngineEvent[] = []
    const engine = makeEngine(folder)
    engine.subscribe((event) => events.push(event))
    await engine.addIntegration(integration)
    await engine.addConnection(connection(api, { minutesBetweenSyncs: 0.01 }))
    await eventually(() => events.some(({ event }) => event === 'run.finished'), 'the schedule')
    const [job] = await engine.getConnectionJobs('acme')
    assert.deepEqual([job?.id, job?.syncName, job?.schedule, job?.isActive], ['acme/contacts', 'contacts', 0.01, true])
    assert.ok(job?.nextRun instanceof Date)
    await engine.destroy()
    const state = stateOf(folder)
    for (const text of [...state, JSON.stringify(events)]) assert.ok(!text.includes('canary-token'))
    const before = api.calls
    const again = makeEngine(folder)
    try {
      await again.addIntegration(integration)
      assert.deepEqual(await again.getConnections(), [connection(api, { minutesBetweenSyncs: 0.01 })])
      await eventually(() => api.calls > before, 'the schedule after the restart')
      const [job] = await again.getScheduledJobs()
      assert.equal(job?.lastResult?.success, true)
      await again.removeConnection('acme')
      assert.deepEqual(await again.getScheduledJobs(), [])
      assert.equal(await again.getConnection('acme'), undefined)
    } finally {
      await again.destroy()
    }
  })

  test('while a sync runs, its job tells how it went before', async () => {
    await using api = await new Api().start()
    const engine = makeEngine(newFolder())
    const release = Promise.withResolvers<void>()
    try {
      await engine.addIntegration(integration)
      await engine.addConnection(connection(api))
      assert.equal((await engine.executeSync('acme', 'contacts')).success, true)
      await scheduledRunIsOver(engine)
      api.held = release.promise
      const before = api.calls
      const running = engine.executeSync('acme', 'contacts')
      await eventually(() => api.calls > before, 'the second run')
      assert.equal((await engine.getConnectionJobs('acme'))[0]?.lastResult?.success, true)
      release.resolve()
      await running
    } finally {
      release.resolve()
      await engine.destroy()
    }
  })

  test('what was unscheduled stays so: over a changed connection, an integration added again, and a restart; until it is scheduled', async () => {
    await using api = await new Api().start()
    const folder = newFolder()
    const first = makeEngine(folder)
    try {
      await first.addIntegration(integration)
      await first.addConnection(connection(api))
      await first.unscheduleConnectionSyncs('acme')
      await first.updateConnection(connection(api, { minutesBetweenSyncs: 5 }))
      await first.addIntegration(integration)
      assert.deepEqual(await first.getScheduledJobs(), [])
    } finally {
      await first.destroy()
    }
    const second = makeEngine(folder)
    try {
      await second.addIntegration(integration)
      assert.deepEqual(await second.getScheduledJobs(), [])
      assert.equal((await second.executeSync('acme', 'contacts')).success, true)
      await second.scheduleConnectionSyncs('acme')
      assert.equal((await second.getScheduledJobs()).length, 1)
      // Taking its integration away, and a connection's end, are no wish of that kind.
      await second.removeIntegration('our-crm')
      assert.deepEqual(await second.getScheduledJobs(), [])
      await second.addIntegration(integration)
      assert.equal((await second.getScheduledJobs()).length, 1)
      await second.unscheduleConnectionSyncs('acme')
      await second.removeConnection('acme')
      await second.addConnection(connection(api))
      assert.equal((await second.getScheduledJobs()).length, 1)
    } finally {
      await second.destroy()
    }
  })

  test('actions: input and output are checked, time is limited, what may pass is tried again', async () => {
    await using api = await new Api().start()
    const engine = makeEngine(newFolder(), { connectionStore: new InMemoryConnectionStore() })
    try {
      await engine.addIntegration({ ...integration, actions: ['greet', 'stuck', 'flaky'] })
      await engine.addConnection(connection(api, { activeSyncs: [] }))
      const greeted = await engine.executeAction('acme', 'greet', { name: 'Ada' })
      assert.deepEqual([greeted.success, greeted.data], [true, { text: 'Hello Ada' }])
      const wrong = await engine.executeAction('acme', 'greet', { name: 5 })
      assert.match(wrong.error ?? '', /the input of action greet is not as it should be: name: /)
      assert.match(
        (await engine.executeAction('acme', 'greet', { name: 'nobody' })).error ?? '',
        /the output of action greet/,
      )
      const stuck = await engine.executeAction('acme', 'stuck', {})
      assert.match(stuck.error ?? '', /took longer than 100 ms/)
      const refused = await engine.executeAction('acme', 'flaky', { url: 'http://127.0.0.1:1/' })
      assert.ok(!refused.success && refused.executionTime > 1000, 'tried again before it gave up')
      const allow = engine.guard((event) => (event.event === 'action.starting' ? `not ${event.action}` : undefined))
      await assert.rejects(engine.executeAction('acme', 'greet', { name: 'Ada' }), {
        code: 'FORBIDDEN',
        message: /action greet of acme may not run: not greet/,
      })
      allow()
      assert.equal((await engine.executeAction('acme', 'greet', { name: 'Ada' })).success, true)
      await assert.rejects(engine.executeAction('acme', 'gret', {}), {
        code: 'ACTION_UNKNOWN',
        message: /did you mean "greet"/,
      })
    } finally {
      await engine.destroy()
    }
  })

  test('a person pauses, cancels and forbids; mistakes are told with what there is', async () => {
    await using api = await new Api().start()
    const engine = makeEngine(newFolder())
    const events: EngineEvent[] = []
    engine.subscribe((event) => events.push(event))
    try {
      await engine.addIntegration(integration)
      await engine.addConnection(connection(api, { activeSyncs: ['contacts', 'slow'] }))
      const { jobs } = { jobs: await engine.triggerSync('acme', 'slow') }
      await eventually(
        () => events.some((event) => event.event === 'run.started' && event.sync === 'acme/slow'),
        'the slow sync',
      )
      await engine.cancelJob(jobs.id)
      await eventually(
        () => events.some((event) => event.event === 'job.ended' && event.status === 'cancelled'),
        'the cancellation',
      )
      await engine.pauseSync('acme', 'contacts')
      assert.equal((await engine.getScheduledJobs()).find(({ syncName }) => syncName === 'contacts')?.isActive, false)
      await engine.resumeSync('acme', 'contacts')
      const allow = engine.guard((event) =>
        'sync' in event && event.sync === 'acme/contacts' ? 'not today' : undefined,
      )
      const vetoed = await engine.executeSync('acme', 'contacts')
      assert.match(vetoed.error ?? '', /may not run: not today/)
      allow()
      assert.equal((await engine.executeSync('acme', 'contacts')).success, true)
      await assert.rejects(engine.executeSync('acme', 'contact'), {
        code: 'SYNC_UNKNOWN',
        message: /did you mean "contacts"/,
      })
      await assert.rejects(engine.executeSync('nobody', 'contacts'), { code: 'CONNECTION_UNKNOWN' })
      await assert.rejects(engine.addConnection(connection(api)), { code: 'CONFIG_INVALID', message: /already/ })
      await assert.rejects(engine.addConnection({ ...connection(api), id: 'b', config: { url: 5 } }), {
        code: 'CONFIG_INVALID',
        message: /token/,
      })
      await assert.rejects(engine.addConnection({ ...connection(api), id: 'a/b' }), { code: 'CONFIG_INVALID' })
      await assert.rejects(engine.addIntegration({ id: 'x', connectorId: 'crn' }), {
        code: 'CONFIG_INVALID',
        message: /did you mean "crm"/,
      })
    } finally {
      await engine.destroy()
    }
  })

  test('minutes between syncs that are none are refused; a stored connection with them is left out, and can be removed', async () => {
    const folder = newFolder()
    for (const minutesBetweenSyncs of [Infinity, 0, -1, Number.NaN, 1e300])
      assert.throws(() => makeEngine(folder, { minutesBetweenSyncs }), { code: 'CONFIG_INVALID' })
    await using api = await new Api().start()
    const engine = makeEngine(folder)
    await engine.addIntegration({ id: 'our-crm', connectorId: 'crm' })
    const connection = { id: 'acme', integrationId: 'our-crm', config: { url: api.url, token: 'canary-token' } }
    for (const minutesBetweenSyncs of [Infinity, 0, -1, Number.NaN, 1e300]) {
      await assert.rejects(engine.addConnection({ ...connection, minutesBetweenSyncs }), { code: 'CONFIG_INVALID' })
      const integration = { id: 'our-crm', connectorId: 'crm', minutesBetweenSyncs }
      await assert.rejects(engine.updateIntegration(integration), { code: 'CONFIG_INVALID' })
    }
    await engine.addConnection(connection)
    for (const minutesBetweenSyncs of [Infinity, 0])
      await assert.rejects(engine.updateConnection({ ...connection, minutesBetweenSyncs }), { code: 'CONFIG_INVALID' })
    await engine.addConnection({ ...connection, id: 'broken' })
    await engine.destroy()
    const body = '{"id":"broken","integrationId":"our-crm","minutesBetweenSyncs":null}'
    const store = await openSqliteStore(folder)
    await store.records.put({ kind: 'connection', id: 'broken', body, expiresAt: null })
    await store[Symbol.asyncDispose]()
    const lines: string[] = []
    const again = makeEngine(folder, { log: (line) => lines.push(line) })
    await again.addIntegration({ id: 'our-crm', connectorId: 'crm' })
    assert.deepEqual(
      (await again.getConnections()).map(({ id }) => id),
      ['acme'],
    )
    assert.match(lines.join('\n'), /connection "broken" can't be read/)
    await assert.rejects(again.updateConnection({ ...connection, id: 'broken', config: {} }), /token/)
    await again.updateConnection({ ...connection, id: 'broken', activeSyncs: ['contacts'] })
    assert.deepEqual(await again.getConnection('broken'), { ...connection, id: 'broken', activeSyncs: ['contacts'] })
    assert.equal((await again.getConnectionJobs('broken')).length, 1)
    await again.removeConnection('broken')
    assert.deepEqual(await again.getConnectionJobs('broken'), [])
    await again.destroy()
  })

  test('over an open store, which needs a folder, credentials and rows are there again for the next engine', async () => {
    await using api = await new Api().start()
    await using store = openMemoryStore()
    const folder = newFolder()
    assert.throws(() => makeEngine(folder, { store }), { code: 'CONFIG_INVALID', message: /needs `folder`/ })
    const engine = makeEngine(folder, { store, folder })
    await engine.addIntegration({ id: 'our-crm', connectorId: 'crm' })
    await engine.addConnection(connection(api))
    assert.equal((await engine.executeSync('acme', 'contacts')).success, true)
    await engine.destroy()
    const next = makeEngine(folder, { store, folder })
    await next.addIntegration({ id: 'our-crm', connectorId: 'crm' })
    assert.equal((await next.getConnection('acme'))?.config.token, 'canary-token')
    assert.equal((await next.getRows('acme', 'contacts')).rows.length, 2)
    await next.destroy()
  })

  test('a connection store of one’s own needs no more than to create, read, update and delete', async () => {
    await using api = await new Api().start()
    const kept = new Map<string, EngineConnection>()
    const put = async (connection: EngineConnection) => {
      kept.set(connection.id, connection)
      return connection
    }
    const connectionStore: ConnectionStore = {
      ...{ create: put, update: put },
      read: async (id) => kept.get(id),
      readAll: async () => [...kept.values()],
      delete: async (id) => {
        kept.delete(id)
      },
    }
    const engine = makeEngine(newFolder(), { connectionStore })
    await engine.addIntegration({ id: 'our-crm', connectorId: 'crm' })
    await engine.addConnection(connection(api))
    await engine.updateConnection(connection(api, { activeSyncs: ['contacts'] }))
    assert.deepEqual(kept.get('acme')?.activeSyncs, ['contacts'])
    assert.deepEqual(
      (await engine.getConnectionJobs('acme')).map(({ syncName }) => syncName),
      ['contacts'],
    )
    assert.equal((await engine.executeSync('acme', 'contacts')).success, true)
    await assert.rejects(engine.updateConnection(connection(api, { id: 'nobody' })), { code: 'CONNECTION_UNKNOWN' })
    await engine.removeConnection('acme')
    assert.deepEqual([...kept], [])
    await engine.destroy()
  })

  test('after destroy() every call says that it was destroyed', async () => {
    const engine = makeEngine(newFolder())
    await engine.addIntegration({ id: 'our-crm', connectorId: 'crm' })
    await engine.destroy()
    const calls = [
      () => engine.getConnections(),
      () => engine.getScheduledJobs(),
      () => engine.executeSync('acme', 'contacts'),
      () => engine.triggerSync('acme', 'contacts'),
      () => engine.startFlowSession('our-crm'),
      () => engine.getRows('acme', 'contacts'),
    ]
    for (const call of calls) await assert.rejects(call, { code: 'INTERRUPTED', message: /the engine was destroyed/ })
    await engine.destroy()
  })

  test('a connection whose sync takes long keeps no other waiting', async () => {
    await using api = await new Api().start()
    const engine = makeEngine(newFolder())
    try {
      await engine.addIntegration(integration)
      await engine.addConnection(connection(api, { id: 'slow', activeSyncs: ['slow'] }))
      await engine.addConnection(connection(api))
      await engine.triggerSync('slow', 'slow')
      const { success, executionTime } = await engine.executeSync('acme', 'contacts')
      assert.ok(success && executionTime < 10_000)
    } finally {
      await engine.destroy()
    }
  })

  test('a sync that fails is told, and tried again by its schedule', async () => {
    await using api = await new Api().start()
    const engine = makeEngine(newFolder())
    try {
      await engine.addIntegration(integration)
      await engine.addConnection(connection(api))
      await scheduledRunIsOver(engine)
      await engine.executeSync('acme', 'contacts')
      api.refuse = 1
      const result = await engine.executeSync('acme', 'contacts')
      assert.match(result.error ?? '', /the CRM answered 500/)
      assert.equal((await engine.executeSync('acme', 'contacts')).success, true)
    } finally {
      await engine.destroy()
    }
  })
})

/** Every file of the engine's state, as text. */
function stateOf(folder: string): readonly string[] {
  return readdirSync(join(folder, '.syncline'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
}
