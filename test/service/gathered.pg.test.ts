import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createDatabase } from '../../tools/database.ts'
import { Api } from './api.ts'
import { Crm } from './crm.ts'
import { gathered, gatheredTests, made } from './gathered-tests.ts'
import { ServiceProject } from './project.ts'

gatheredTests('a Postgres store', async () => {
  const database = await createDatabase()
  return {
    environment: { SYNCLINE_STORE: database.url },
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  }
})

test('what a worker gathers, servers and commands on other machines read and export', async () => {
  await using crm = await new Crm().start()
  await using database = await createDatabase()
  const environment = { SYNCLINE_STORE: database.url, SYNCLINE_VAULT_KEY: randomBytes(32).toString('hex') }
  using here = new ServiceProject(crm.config(), environment)
  using there = new ServiceProject(crm.config(), environment)
  for (const it of [here, there]) it.change('shop.db', 'create table orders (id integer primary key)')
  const [created] = (await here.run('keys', 'create', 'admin', '--scope', 'admin')).lines
  const worker = here.start('worker')
  const server = there.start('server', '--port', '0')
  await Promise.all([worker.event('ready'), server.event('ready')])
  const url = String(server.lines.find(({ event }) => event === 'ready')?.url)
  const api = new Api(url, String(created?.key))
  assert.equal((await api.post('/api/connections', made)).status, 201)
  await gathered(api, 'acme')
  assert.deepEqual((await api.get('/api/collections/acme/contacts')).body.items, crm.contacts)
  const { text } = await api.get('/api/collections/acme/contacts/export')
  assert.equal(text, crm.contacts.map((contact) => `${JSON.stringify(contact)}\n`).join(''))
  assert.deepEqual((await there.run('rows', 'acme', 'contacts')).lines, crm.contacts)
  // They stay when their connection is gone, as on the embedded store.
  assert.equal((await api.call('DELETE', '/api/connections/acme')).status, 204)
  assert.deepEqual((await there.run('rows', 'acme', 'contacts')).lines, crm.contacts)
  for (const running of [worker, server]) running.kill('SIGTERM')
  for (const running of [worker, server]) assert.equal((await running.end()).code, 0, running.stderr)
  for (const it of [here, there]) assert.ok(!existsSync(join(it.folder, '.syncline', 'collections')))
})
