import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { z } from 'zod'
import { defineConnector } from '../../connectors/kit.ts'
import { postgres } from '../../connectors/postgres/index.ts'
import { SyncError } from '../../core/error.ts'
import { Integrations } from './integrations.ts'

const crm = defineConnector({
  name: 'crm',
  config: z.strictObject({ url: z.string(), secret: z.string().optional(), token: z.string().optional() }),
})

function partsOf(shared: object, own: object, connectorId = 'crm') {
  const integrations = new Integrations([crm, postgres])
  integrations.put({ id: 'ours', connectorId, config: { ...shared } })
  return integrations.partsOf({ id: 'acme', integrationId: 'ours', config: { ...own } })
}

function refused(pattern: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof SyncError && error.code === 'CONFIG_INVALID', String(error))
    assert.match(error.message, pattern)
    return true
  }
}

describe('what an integration and its connection say', () => {
  test('comes together', () => {
    const { handle } = partsOf({ url: 'https://crm', secret: 's' }, { token: 't' })
    assert.deepEqual(handle, { id: 'acme', config: { url: 'https://crm', secret: 's', token: 't' } })
  })

  test('a connection can’t say what its integration says: it would get what is meant for another place', () => {
    const where = refused(/^connection "acme": url: its integration says it$/)
    assert.throws(() => partsOf({ url: 'https://crm', secret: 's' }, { url: 'https://evil', token: 't' }), where)
  })

  test('nor name another database by a url, where the integration has the host', () => {
    const shared = { host: 'db.internal', user: 'svc', password: 'of the operator' }
    assert.throws(() => partsOf(shared, { host: 'evil' }, 'postgres'), refused(/host: its integration says it/))
    assert.throws(() => partsOf(shared, { url: 'postgres://evil/x' }, 'postgres'), refused(/url/))
    assert.deepEqual(Object.keys(partsOf(shared, { database: 'acme' }, 'postgres').handle.config).sort(), [
      ...['connectTimeoutMs', 'database', 'host', 'password', 'user'],
    ])
    const url = 'postgres://svc:pw@db.internal/x'
    assert.throws(() => partsOf({ url }, { host: 'evil' }, 'postgres'), refused(/host/))
  })
})
