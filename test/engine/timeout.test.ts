import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { z } from 'zod'
import { defineConnector } from '../../src/connectors/kit.ts'
import { Engine } from '../../src/index.ts'
import { eventually, ServiceProject } from '../service/project.ts'

interface Stuck {
  readonly signals: AbortSignal[]
  /** Lets the calls go on that did not heed their signal. */
  go: () => void
}

function connectorWith(stuck: Stuck) {
  const gate = new Promise<void>((resolve) => {
    stuck.go = resolve
  })
  return defineConnector({
    name: 'crm',
    config: z.strictObject({}),
    syncs: {
      fine: { fields: { id: 'integer' }, run: () => [{ id: 1 }] },
      heeding: {
        fields: { id: 'integer' },
        timeoutMs: 300,
        run: async (_connection, { signal, clock }) => {
          await clock.sleep(3_600_000, signal)
          return []
        },
      },
      deaf: {
        fields: { id: 'integer' },
        timeoutMs: 300,
        run: async (_connection, { signal }) => {
          stuck.signals.push(signal)
          await gate
          return [{ id: 666 }]
        },
      },
    },
  })
}

describe('a handler that does not end', () => {
  test('is stopped by its signal; one that does not heed it gives its hand back, and what it gives later counts no more', async () => {
    const stuck: Stuck = { signals: [], go: () => {} }
    const folder = mkdtempSync(join(tmpdir(), 'syncline-timeout-'))
    const engine = new Engine({
      connectors: [connectorWith(stuck)],
      store: folder,
      minutesBetweenSyncs: 60,
      concurrency: 1,
      log: () => {},
    })
    const ended: string[] = []
    engine.subscribe((event) => {
      if (event.event === 'run.finished') ended.push(`${event.sync} ${event.status} ${event.error?.code ?? ''}`)
    })
    try {
      await engine.addIntegration({ id: 'crm', connectorId: 'crm' })
      const add = (id: string) => engine.addConnection({ id, integrationId: 'crm', config: {}, activeSyncs: [id] })
      for (const name of ['heeding', 'deaf', 'fine']) {
        await add(name)
        await eventually(() => ended.some((line) => line.startsWith(`${name}/`)), name)
      }
      assert.deepEqual(ended.slice(0, 3), [
        ...['heeding/heeding failed TIMED_OUT', 'deaf/deaf failed TIMED_OUT', 'fine/fine succeeded '],
      ])
      assert.equal(stuck.signals[0]?.reason.code, 'TIMED_OUT')
      stuck.go()
      await new Promise((resolve) => setTimeout(resolve, 300))
      assert.doesNotMatch(JSON.stringify(await engine.getRows('deaf', 'deaf')), /666/)
      const jobs = await engine.getConnectionJobs('deaf')
      assert.match(JSON.stringify(jobs), /TIMED_OUT|timeout/)
    } finally {
      await engine.destroy()
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    }
  })

  test('keeps no engine from being destroyed, and writes nothing afterwards; the next one runs it', async () => {
    const gate = Promise.withResolvers<void>()
    const folder = mkdtempSync(join(tmpdir(), 'syncline-timeout-'))
    let asked = 0
    const deaf = defineConnector({
      name: 'crm',
      config: z.strictObject({}),
      syncs: {
        deaf: {
          fields: { id: 'integer' },
          run: async () => {
            asked++
            if (asked > 1) return [{ id: 1 }]
            await gate.promise
            return [{ id: 666 }]
          },
        },
      },
    })
    const start = async () => {
      const engine = new Engine({ connectors: [deaf], store: folder, minutesBetweenSyncs: 60, log: () => {} })
      await engine.addIntegration({ id: 'crm', connectorId: 'crm' })
      return engine
    }
    try {
      const first = await start()
      await first.addConnection({ id: 'acme', integrationId: 'crm', config: {} })
      await eventually(() => asked === 1, 'the run')
      await first.destroy()
      gate.resolve()
      await new Promise((resolve) => setTimeout(resolve, 300))
      const next = await start()
      try {
        await eventually(async () => (await next.getRows('acme', 'deaf')).rows.length > 0, 'the run of the next one')
        assert.doesNotMatch(JSON.stringify(await next.getRows('acme', 'deaf')), /666/)
      } finally {
        await next.destroy()
      }
    } finally {
      gate.resolve()
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    }
  })

  test('in a config `timeout` says how long; other runs go on', async () => {
    const config = `
import { defineConfig } from 'syncline'
import { defineConnector } from 'syncline/connector'
import { sqlite } from 'syncline/sqlite'
import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
const crm = defineConnector({
  name: 'crm',
  config: z.object({}),
  syncs: { deaf: { fields: { id: 'integer' }, run: (_connection, { signal, log }) => {
    signal.addEventListener('abort', () => log('it was told'))
    return new Promise(() => {})
  } } },
})
export default defineConfig({
  connections: { crm: crm({}), shop: sqlite({ file: './shop.db' }), copy: sqlite({ file: './copy.db' }), other: sqlite({ file: './other.db' }) },
  syncs: {
    deaf: { from: 'crm.deaf', to: 'other.deaf', schedule: 'manual', timeout: '300ms' },
    orders: { from: 'shop.orders', to: 'copy', every: '200ms' },
  },
})`
    using it = new ServiceProject(config)
    it.change('shop.db', 'create table orders (id integer primary key)')
    const service = it.start('start', '--no-server', '--concurrency', '1')
    await service.event('ready')
    assert.equal((await it.run('trigger', 'deaf')).code, 0)
    await service.event(
      'run.failed',
      ({ sync, error }) => sync === 'deaf' && JSON.stringify(error).includes('TIMED_OUT'),
    )
    const before = service.lines.length
    await eventually(
      () => service.lines.slice(before).some(({ event, sync }) => event === 'job.ended' && sync === 'orders'),
      'other runs',
    )
    assert.match(service.stderr, /it was told/)
    service.kill('SIGINT')
    assert.equal((await service.end()).code, 0)
  })
})
