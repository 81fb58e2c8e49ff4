/** The limits of connections as a server tells them that makes no calls. */
import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { createDatabase } from '../../tools/database.ts'
import { Api } from './api.ts'
import { eventually, ServiceProject } from './project.ts'

test('a server tells what its workers call, what waits there, and until when they leave a system alone', async () => {
  const asked: ServerResponse[] = []
  const system = createServer((_request, response) => void asked.push(response))
  await new Promise<void>((resolve) => system.listen(0, '127.0.0.1', resolve))
  await using _closed = { [Symbol.asyncDispose]: async () => void system.close() }
  await using state = await createDatabase()
  using it = new ServiceProject(config(`http://127.0.0.1:${(system.address() as AddressInfo).port}`), {
    SYNCLINE_STORE: state.url,
  })
  const created = await it.run('keys', 'create', 'admin', '--scope', 'admin')
  const processes = [it.start('server', '--port', '0'), it.start('worker'), it.start('worker')]
  for (const running of processes) await running.event('ready')
  const url = processes[0]?.lines.find(({ event }) => event === 'ready')?.url
  const api = new Api(String(url), String(created.lines[0]?.key))
  assert.equal((await api.post('/api/connections', { name: 'b', integration: 'busy' })).status, 201)
  const limits = async () => (await api.get('/api/limits')).body.items?.[0]
  await eventually(async () => {
    const { active, waiting } = (await limits()) ?? {}
    return active === 1 && waiting === 2
  }, 'one call and two that wait')
  asked.shift()?.writeHead(429, { 'retry-after': '60' }).end()
  await eventually(async () => (await limits())?.pausedUntil !== null, 'the system to be left alone')
  for (const running of processes) running.kill('SIGTERM')
  for (const running of processes) assert.equal((await running.end()).code, 0, running.stderr)
})

function config(url: string): string {
  return `
import { defineConfig } from 'syncline'
import { defineConnector } from 'syncline/connector'
import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
const list = { fields: { id: 'integer' }, run: async (_connection, { fetch }) => (await fetch(${JSON.stringify(url)})).json() }
const busy = defineConnector({
  name: 'busy',
  config: z.strictObject({}),
  limits: { concurrent: 1 },
  syncs: { a: list, b: list, c: list },
})
export default defineConfig({
  connections: {},
  syncs: {},
  connectors: [busy],
  integrations: { busy: { connector: 'busy' } },
})`
}
