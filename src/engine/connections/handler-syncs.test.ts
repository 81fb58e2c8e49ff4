import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { defineConnector } from '../../connectors/kit.ts'
import { gatheredBy, handlerSync, syncOf } from './handler-syncs.ts'
import { Integrations } from './integrations.ts'

test('no two syncs of connections gather into one place, whatever they are called', () => {
  const pairs = [
    ['a', 'b__c'],
    ['a__b', 'c'],
    ['a_', '_b'],
    ['a', '__b'],
    ['a', 'b/c'],
    ['a', '/b'],
  ] as const
  const targets = pairs.map(([connection, sync]) => handlerSync(connection, sync, { kind: 'manual' }).to)
  assert.equal(new Set(targets.map(({ connection }) => connection)).size, pairs.length)
  assert.equal(new Set(targets.map(({ connection }) => gatheredBy(connection))).size, pairs.length)
  for (const { connection, collection } of targets) assert.equal(gatheredBy(connection), collection)
})

test('what a connector says of a schedule is read once for all connections, and anew of another connector', () => {
  const integrationsOf = (schedule: string) => {
    const syncs = { contacts: { schedule, run: () => [] } }
    const integrations = new Integrations([defineConnector({ name: 'crm', config: z.object({}), syncs })])
    integrations.put({ id: 'ours', connectorId: 'crm' })
    return integrations
  }
  const scheduleOf = (id: string, integrations: Integrations) =>
    syncOf({ id, integrationId: 'ours' }, 'contacts', integrations, 15).schedule
  const [daily, hourly] = [integrationsOf('0 6 * * *'), integrationsOf('1h')]
  assert.deepEqual(scheduleOf('a', daily), { kind: 'cron', cron: '0 6 * * *', zone: 'UTC' })
  assert.equal(scheduleOf('a', daily), scheduleOf('b', daily))
  assert.deepEqual(scheduleOf('a', hourly), { kind: 'interval', everyMs: 3_600_000 })
  for (const id of ['a', 'b'])
    assert.throws(() => scheduleOf(id, integrationsOf('now and then')), { code: 'CONFIG_INVALID' })
})
