import assert from 'node:assert/strict'
import { test } from 'node:test'
import { postgres } from '../../connectors/postgres/index.ts'
import type { Integration } from '../../engine/connections/connection-store.ts'
import { Integrations } from '../../engine/connections/integrations.ts'
import { locate } from './stored-connections.ts'

const whole = { host: 'db.acme.com', user: 'acme', password: 'pw', database: 'shop' }

test('a database of somebody else is reached by what its connection and its integration say, and nothing else', () => {
  assert.equal(configOf(whole).environment, false)
  assert.equal(configOf({ url: 'postgres://acme:pw@db.acme.com/shop?sslmode=require' }).environment, false)
  assert.equal(configOf({ host: 'db.acme.com', database: 'shop' }, { user: 'us', password: 'pw' }).user, 'us')
  for (const name of ['host', 'user', 'password', 'database'])
    for (const missing of ['', undefined])
      assert.throws(
        () => configOf({ ...whole, [name]: missing }),
        refused(name === 'host' && missing === undefined ? 'url' : name),
      )
  for (const url of [
    'postgres:///',
    'postgres://h/d',
    'postgres://u@h/d',
    'postgres://u:p@h',
    'postgres://u:p@h/',
    'postgres://:p@h/d',
  ])
    assert.throws(() => configOf({ url }), refused('must say'), url)
})

test('its connection may not ask for the environment, nor name a socket of this machine', () => {
  for (const environment of [true, false])
    assert.throws(() => configOf({ ...whole, environment }), refused('environment'))
  assert.throws(() => configOf(whole, { environment: true, user: 'x' }), refused('user'))
  assert.equal(
    configOf({ user: 'u', password: 'p', database: 'd' }, { host: 'h', environment: true }).environment,
    false,
  )
  assert.throws(() => configOf({ ...whole, host: '/var/run/postgresql' }), refused('socket'))
  assert.equal(
    configOf({ user: 'u', password: 'p', database: 'd' }, { host: '/var/run/postgresql' }).host,
    '/var/run/postgresql',
  )
  for (const url of ['postgres://u:p@%2Fvar%2Frun/d', 'postgres://u:p@h/d?host=/var/run/postgresql'])
    assert.throws(() => configOf({ url }), refused('url'), url)
})

test('its URL names no files and sets no options, however it is spelled', () => {
  for (const url of [
    ...['sslcert', 'ssl%63ert', 'ssl\tcert', 'ssl\ncert', 'ssl\rcert', 'x=1&sslkey', 'sslrootcert'].map(
      (name) => `postgres://u:p@h/d?${name}=/etc/hostname`,
    ),
    ...['?options=-c%20x', '?application_name=x', '?sslmode=nowhere', '?user=x', '?sslnegotiation=direct'].map(
      (query) => `postgres://u:p@h/d${query}`,
    ),
    ...[
      'postgres://u:p@h/d d',
      'postgres://u:p@h/%zz',
      'postgres://u:p@/d',
      '\tpostgres://u:p@h/d',
      'postgres://u:p@h:x/d',
      'postgres://u:%00@h/d',
    ],
  ])
    assert.throws(() => configOf({ url }), refused('url'), url)
})

/** As it is opened. */
function configOf(
  own: Readonly<Record<string, unknown>>,
  said: Integration['config'] = {},
): typeof postgres.config._output {
  const integrations = new Integrations([postgres], locate)
  integrations.put({ id: 'theirs', connectorId: 'postgres', config: said })
  return integrations.partsOf({ id: 'acme', integrationId: 'theirs', config: own }).handle.config
}

function refused(what: string) {
  return { code: 'CONFIG_INVALID', message: new RegExp(what) }
}
