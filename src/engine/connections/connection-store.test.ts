import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { openMemoryStore } from '../../store/sqlite/store.ts'
import { StoreVault } from '../secrets/vault.ts'
import { readKeys } from '../secrets/vault-keys.ts'
import { StoredConnections } from './connection-store.ts'

function world() {
  const store = openMemoryStore()
  const keys = readKeys('', { SYNCLINE_VAULT_KEY: 'a'.repeat(64) })
  const vault = new StoreVault(store.records, () => keys)
  const logged: string[] = []
  return { store, vault, logged, connections: new StoredConnections(store.records, vault, (line) => logged.push(line)) }
}

const connection = (id: string, token: string) => ({ id, integrationId: 'crm', project: token, config: { token } })

describe('stored connections', () => {
  test('of many who create one at the same time, the one that did has its own credentials, and nothing is left of the others', async () => {
    const { vault, connections } = world()
    const tokens = ['a', 'b', 'c', 'd', 'e']
    const created = await Promise.allSettled(tokens.map((token) => connections.create(connection('x', token))))
    assert.equal(created.filter(({ status }) => status === 'fulfilled').length, 1)
    const kept = await connections.read('x')
    assert.deepEqual(kept?.config, { token: kept?.project })
    assert.equal((await vault.list()).length, 1)
  })

  test('of many who change one at the same time, the last has its own credentials; a reader never sees it without', async () => {
    const { vault, connections } = world()
    await connections.create(connection('x', 'first'))
    const tokens = ['a', 'b', 'c', 'd', 'e']
    const changing = Promise.all(tokens.map((token) => connections.change('x', () => connection('x', token))))
    const seen = await Promise.all(tokens.map(() => connections.read('x')))
    await changing
    for (const one of [...seen, await connections.read('x'), ...(await connections.readAll())])
      assert.deepEqual(one?.config, { token: one?.project })
    assert.equal((await vault.list()).length, 1)
    await connections.delete('x')
    assert.deepEqual(await vault.list(), [])
    await assert.rejects(
      connections.change('x', () => connection('x', 'late')),
      { code: 'CONNECTION_UNKNOWN' },
    )
    assert.deepEqual(await vault.list(), [])
  })

  test('a change that is refused leaves it as it was', async () => {
    const { vault, connections } = world()
    await connections.create(connection('x', 'first'))
    const refuse = () => {
      throw new Error('refused')
    }
    await assert.rejects(connections.change('x', refuse), /refused/)
    assert.deepEqual(await connections.read('x'), connection('x', 'first'))
    assert.equal((await vault.list()).length, 1)
  })

  test('one whose secret is where it was before is read, changed and removed', async () => {
    const { store, vault, connections } = world()
    const body = JSON.stringify({ id: 'old', integrationId: 'crm' })
    await store.records.put({ kind: 'connection', id: 'old', body, expiresAt: null })
    await vault.set('connection/old', '{"token":"t"}')
    assert.deepEqual((await connections.read('old'))?.config, { token: 't' })
    await connections.change('old', () => connection('old', 'u'))
    assert.deepEqual((await connections.read('old'))?.config, { token: 'u' })
    assert.equal((await vault.list()).length, 1)
    await connections.delete('old')
    assert.deepEqual(await vault.list(), [])
  })

  test('one that can’t be read is told of, and can be removed; the others are read', async () => {
    const { store, vault, logged, connections } = world()
    for (const id of ['a', 'sealed', 'z']) await connections.create(connection(id, id))
    const bodies = { cut: '{', infinite: '{"id":"infinite","integrationId":"crm","minutesBetweenSyncs":null}' }
    for (const [id, body] of Object.entries(bodies))
      await store.records.put({ kind: 'connection', id, body, expiresAt: null })
    const sealed = (await vault.list()).find((name) => name.startsWith('connection/sealed/')) ?? assert.fail()
    await store.records.put({ kind: 'secret', id: sealed, body: 'v1.another.x.y', expiresAt: null })
    assert.deepEqual(
      (await connections.readAll()).map(({ id }) => id),
      ['a', 'z'],
    )
    assert.equal(logged.length, 3)
    await assert.rejects(connections.read('cut'), { code: 'CONFIG_INVALID' })
    for (const id of ['cut', 'infinite', 'sealed']) await connections.delete(id)
    assert.equal((await connections.readAll()).length, 2)
    assert.equal(logged.length, 3)
    assert.equal((await vault.list()).length, 2)
  })

  test('one that can’t be read is replaced by a whole one, made of what is left of it', async () => {
    const { store, vault, connections } = world()
    await connections.create(connection('sealed', 'red'))
    const [sealed = ''] = await vault.list()
    await store.records.put({ kind: 'secret', id: sealed, body: 'v1.another.x.y', expiresAt: null })
    const torn = '{"id":"torn","integrationId":7,"activeSyncs":["a"],"minutesBetweenSyncs":null,"project":"red"}'
    for (const [id, body] of Object.entries({ cut: '{', torn }))
      await store.records.put({ kind: 'connection', id, body, expiresAt: null })
    const left = new Map<string, unknown>()
    for (const id of ['cut', 'torn', 'sealed']) {
      await assert.rejects(
        connections.change(id, (before) => before),
        /can't be read|not there/,
      )
      await connections.replace(id, (remains) => {
        left.set(id, remains)
        return connection(id, 'new')
      })
      assert.deepEqual(await connections.read(id), connection(id, 'new'))
    }
    assert.deepEqual(Object.fromEntries(left), {
      cut: {},
      torn: { activeSyncs: ['a'], project: 'red' },
      sealed: { integrationId: 'crm', project: 'red' },
    })
    assert.equal((await vault.list()).length, 3)
    await assert.rejects(
      connections.replace('none', () => connection('none', 'x')),
      { code: 'CONNECTION_UNKNOWN' },
    )
  })
})
