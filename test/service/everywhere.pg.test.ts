import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { createDatabase } from '../../tools/database.ts'
import { Api } from './api.ts'
import { eventually, ServiceProject } from './project.ts'
import { Stream } from './stream.ts'

const config = {
  connections: { shop: { connector: 'sqlite', file: './shop.db' }, copy: { connector: 'sqlite', file: './copy.db' } },
  syncs: { orders: { from: 'shop.orders', to: 'copy', schedule: 'manual' } },
  projects: { red: ['shop', 'copy'] },
}

/** Counts what webhooks bring, by event and run. */
async function receiver() {
  const bodies: Readonly<Record<string, unknown>>[] = []
  const server = createServer(async (request, response) => {
    bodies.push(JSON.parse(Buffer.concat(await request.toArray()).toString()).data)
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return { bodies, url, [Symbol.asyncDispose]: async () => void server.close() }
}

test('the stream of a server tells what workers do, also after one was killed; webhooks and metrics count it once', async () => {
  await using database = await createDatabase()
  await using hook = await receiver()
  using it = new ServiceProject(config, { SYNCLINE_STORE: database.url })
  it.change('shop.db', 'create table orders (id integer primary key); insert into orders values (1), (2)')
  const [created] = (await it.run('keys', 'create', 'admin', '--scope', 'admin')).lines
  const servers = [it.start('server', '--port', '0'), it.start('server', '--port', '0')]
  const killed = it.start('worker')
  await Promise.all([...servers, killed].map((running) => running.event('ready')))
  const urls = servers.map(({ lines }) => String(lines.find(({ event }) => event === 'ready')?.url))
  const [first, second] = urls.map((url) => new Api(url, String(created?.key)))
  assert.ok(first !== undefined && second !== undefined)
  assert.equal((await first.post('/api/webhooks', { url: hook.url, events: ['run.finished'] })).status, 201)
  const red = String((await first.post('/api/keys', { name: 'red', scope: 'operate', project: 'red' })).body.key)
  using all = await new Stream().open(String(urls[1]), String(created?.key))
  using ofRed = await new Stream().open(String(urls[1]), red)

  const ended = async (sync: string, count: number) => {
    const { body } = await first.post(`/api/syncs/${sync}/run`)
    await eventually(() => all.of('job.ended', sync).length === count, `the end of ${body.id}`)
  }
  await ended('orders', 1)
  for (const event of ['sync.starting', 'sync.started', 'run.started', 'run.finished'] as const)
    assert.equal(all.of(event, 'orders').length, 1, event)
  killed.kill('SIGKILL')
  await killed.end()
  const worker = it.start('worker')
  await worker.event('ready')
  await ended('orders', 2)

  // A sync of a project, made by the other server: its key sees it, and nothing else.
  const definition = { from: 'shop.orders', to: 'copy.red', schedule: 'manual' }
  const ownKey = new Api(
    String(urls[0]),
    String((await first.post('/api/keys', { name: 'own', scope: 'admin', project: 'red' })).body.key),
  )
  assert.equal((await ownKey.call('PUT', '/api/syncs/ours', definition)).status, 201)
  let runs = 0
  await eventually(async () => {
    await ended('ours', ++runs)
    return ofRed.of('run.finished', 'ours').length > 0
  }, 'the stream of the project')
  assert.deepEqual(
    ofRed.told.filter((told) => told.sync !== 'ours' && told.event !== 'config.changed'),
    [],
  )
  assert.ok(all.told.some(({ event, name }) => event === 'config.changed' && name === 'ours'))

  await eventually(() => hook.bodies.length >= 2 + runs, 'the webhooks')
  const { text } = await second.get('/metrics')
  assert.doesNotMatch(text, /syncline_runs_total\{/)
  for (const running of [...servers, worker]) running.kill('SIGTERM')
  for (const running of [...servers, worker]) assert.equal((await running.end()).code, 0, running.stderr)
  assert.equal(new Set(hook.bodies.map(({ run }) => run)).size, hook.bodies.length, 'each run once')
  assert.equal(hook.bodies.length, 2 + runs)
})
