import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import fc from 'fast-check'
import type { RecordStore } from '../../store/records.ts'
import { openMemoryStore } from '../../store/sqlite/store.ts'
import { KvVault, kvOptions } from './kv-vault.ts'
import { rewrap, seal, unseal } from './seal.ts'
import { StoreVault, type Vault } from './vault.ts'
import { addKey, dropOldKeys, keyReader, readKeys } from './vault-keys.ts'

const folder = mkdtempSync(join(tmpdir(), 'syncline-vault-'))
after(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const newPath = () => join(folder, `${files++}`, 'vault.key')

describe('sealing', () => {
  const path = newPath()
  const keys = readKeys(path, {})

  test('what is sealed is opened again, whatever it is, and never sealed to the same text twice', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (secret) => {
        const text = secret.toWellFormed()
        const sealed = seal(text, 'place', keys)
        assert.equal(unseal(sealed, 'place', keys), text)
        assert.notEqual(seal(text, 'place', keys), sealed)
      }),
    )
  })

  test('nobody opens it at another place, with another key, or after one character was changed', () => {
    const sealed = seal('hunter2', 'a', keys)
    assert.throws(() => unseal(sealed, 'b', keys), { code: 'VAULT_UNUSABLE' })
    assert.throws(() => unseal(sealed, 'a', readKeys(newPath(), {})), { code: 'VAULT_UNUSABLE' })
    for (let at = sealed.indexOf('.') + 10; at < sealed.length; at += 3) {
      const changed = `${sealed.slice(0, at)}${sealed[at] === 'A' ? 'B' : 'A'}${sealed.slice(at + 1)}`
      if (
        Buffer.from(changed.split('.').at(-1) ?? '', 'base64url').equals(
          Buffer.from(sealed.split('.').at(-1) ?? '', 'base64url'),
        ) &&
        changed.split('.')[2] === sealed.split('.')[2]
      )
        continue
      assert.throws(() => unseal(changed, 'a', keys), { code: 'VAULT_UNUSABLE' }, `at ${at}`)
    }
  })

  test('after a new key, what the old one sealed is still opened; rewrapped, it needs the old one no more', () => {
    const old = seal('hunter2', 'a', keys)
    const both = addKey(path, {})
    assert.equal(both.length, 2)
    assert.equal(unseal(old, 'a', both), 'hunter2')
    const rewrapped = rewrap(old, 'a', both)
    assert.equal(rewrap(rewrapped, 'a', both), rewrapped)
    dropOldKeys(path, {})
    assert.equal(unseal(old, 'a', readKeys(path, {})), 'hunter2', 'until the next rotation')
    addKey(path, {})
    dropOldKeys(path, {})
    const current = readKeys(path, {})
    assert.equal(current.length, 2)
    assert.equal(unseal(rewrapped, 'a', current), 'hunter2')
    assert.throws(() => unseal(old, 'a', current), { code: 'VAULT_UNUSABLE' })
  })
})

describe('master keys', () => {
  test('the file is made once, and nobody else can read it', () => {
    const path = newPath()
    const [first] = readKeys(path, {})
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.deepEqual(readKeys(path, {})[0], first)
    writeFileSync(path, readFileSync(path), { mode: 0o644 })
  })

  test('a file that others can read, or that holds no key, is refused without telling what is in it', async () => {
    const { chmodSync } = await import('node:fs')
    const path = newPath()
    readKeys(path, {})
    chmodSync(path, 0o644)
    assert.throws(() => readKeys(path, {}), { code: 'VAULT_UNUSABLE', message: /others can read/ })
    chmodSync(path, 0o600)
    writeFileSync(path, 'hunter2')
    assert.throws(
      () => readKeys(path, {}),
      (error: Error) => /no key of 32 bytes/.test(error.message) && !error.message.includes('hunter2'),
    )
  })

  test('the environment comes first, and then no file is made', () => {
    const path = newPath()
    const given = Buffer.alloc(32, 7)
    const [key] = readKeys(path, { SYNCLINE_VAULT_KEY: given.toString('base64') })
    assert.ok(key.key.equals(given))
    assert.equal(
      readKeys(path, { SYNCLINE_VAULT_KEY: `${given.toString('hex')}, ${Buffer.alloc(32, 8).toString('base64')}` })
        .length,
      2,
    )
    assert.ok(!existsSync(path))
    assert.throws(() => addKey(path, { SYNCLINE_VAULT_KEY: given.toString('hex') }), { code: 'VAULT_UNUSABLE' })
    assert.throws(() => readKeys(path, { SYNCLINE_VAULT_KEY: 'short' }), { code: 'VAULT_UNUSABLE' })
  })
})

/** As `syncline vault rotate` does it. */
async function rotate(path: string, records: RecordStore): Promise<void> {
  addKey(path, {})
  await new StoreVault(records, keyReader(path, {})).rewrap()
  dropOldKeys(path, {})
}

/** What holds of every vault. */
async function contract(vault: Vault): Promise<void> {
  assert.equal(await vault.get('shop'), null)
  await vault.set('shop', 'hunter2')
  await vault.set('connection/a', 'ä\u{1F511}"')
  await vault.set('shop', 'hunter3')
  assert.equal(await vault.get('shop'), 'hunter3')
  assert.equal(await vault.get('connection/a'), 'ä\u{1F511}"')
  assert.deepEqual(await vault.list(), ['connection/a', 'shop'])
  assert.equal(await vault.delete('shop'), true)
  assert.equal(await vault.delete('shop'), false)
  assert.deepEqual(await vault.list(), ['connection/a'])
  for (const name of ['', '../up', 'a b', 'a//b', 'x'.repeat(300)])
    await assert.rejects(vault.set(name, 'x'), { code: 'USAGE_INVALID' })
}

describe('vaults', () => {
  test('in the store, nothing is readable there', async () => {
    await using store = openMemoryStore()
    const keys = readKeys(newPath(), {})
    const vault = new StoreVault(store.records, () => keys)
    await contract(vault)
    await vault.set('shop', 'hunter2')
    const records = await store.records.list('secret', { limit: 10 })
    assert.ok(!JSON.stringify(records).includes('hunter2'))
  })

  test('a rotation rewraps every secret, also when it is done twice', async () => {
    await using store = openMemoryStore()
    const path = newPath()
    const vault = new StoreVault(store.records, () => readKeys(path, {}))
    for (let n = 0; n < 1100; n++) await vault.set(`s${n}`, `secret ${n}`)
    addKey(path, {})
    assert.equal(await vault.rewrap(), 1100)
    assert.equal(await vault.rewrap(), 0)
    dropOldKeys(path, {})
    assert.equal(await vault.get('s1099'), 'secret 1099')
  })

  test('a rotation beside a running process loses nothing: it reads the new key, and what it sealed meanwhile stays readable', async () => {
    await using store = openMemoryStore()
    const path = newPath()
    const running = new StoreVault(store.records, keyReader(path, {}))
    await running.set('before', 'a')
    const keysMeanwhile = readKeys(path, {})
    await rotate(path, store.records)
    await new StoreVault(store.records, () => keysMeanwhile).set('meanwhile', 'b')
    await running.set('after', 'c')
    const secrets = { before: 'a', meanwhile: 'b', after: 'c' }
    for (let rotation = 0; rotation < 3; rotation++) {
      for (const vault of [running, new StoreVault(store.records, () => readKeys(path, {}))])
        for (const [name, secret] of Object.entries(secrets)) assert.equal(await vault.get(name), secret)
      assert.equal(readKeys(path, {}).length, 2)
      await rotate(path, store.records)
    }
  })

  test('outside, by KV version 2; a wrong token and a vault that is not there are told apart', async () => {
    const { server, url } = await startKv('token')
    try {
      const options = kvOptions({ VAULT_URL: `${url}/`, VAULT_TOKEN: 'token' })
      assert.ok(options)
      await contract(new KvVault(options))
      const stranger = new KvVault({ ...options, token: 'another' })
      await assert.rejects(stranger.get('shop'), { code: 'AUTH_FAILED' })
    } finally {
      server.close()
    }
    await assert.rejects(
      new KvVault({ url: 'http://127.0.0.1:1', token: 't', mount: 'secret', path: 'p' }).get('shop'),
      { code: 'CONNECTION_REFUSED' },
    )
    assert.equal(kvOptions({}), null)
    assert.throws(() => kvOptions({ VAULT_URL: url }), { code: 'ENV_MISSING' })
  })
})

/** As much of the KV version 2 protocol as a client sees, on a real socket. */
async function startKv(token: string): Promise<{ server: ReturnType<typeof createServer>; url: string }> {
  const secrets = new Map<string, unknown>()
  const server = createServer((request, response) => {
    const answer = (status: number, body?: unknown) =>
      response.writeHead(status).end(body === undefined ? '' : JSON.stringify(body))
    if (request.headers['x-vault-token'] !== token) return answer(403, { errors: ['permission denied'] })
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://vault')
    const match = /^\/v1\/secret\/(data|metadata)\/syncline\/(.*)$/.exec(pathname)
    if (match === null) return answer(404, { errors: [] })
    const [, area, name = ''] = match
    if (searchParams.get('list') === 'true') {
      const below = [...secrets.keys()].filter((key) => key.startsWith(name)).map((key) => key.slice(name.length))
      const keys = [...new Set(below.map((key) => (key.includes('/') ? `${key.split('/')[0]}/` : key)))]
      return keys.length === 0 ? answer(404, { errors: [] }) : answer(200, { data: { keys } })
    }
    if (request.method === 'POST' && area === 'data') {
      let text = ''
      request.on('data', (chunk) => {
        text += String(chunk)
      })
      request.on('end', () => {
        secrets.set(name, (JSON.parse(text) as { data: unknown }).data)
        answer(200, { data: { version: 1 } })
      })
      return
    }
    if (request.method === 'DELETE') return secrets.delete(name) ? answer(204) : answer(404, { errors: [] })
    return secrets.has(name)
      ? answer(200, { data: { data: secrets.get(name), metadata: { version: 1 } } })
      : answer(404, { errors: [] })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return { server, url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}` }
}
