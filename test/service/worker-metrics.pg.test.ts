import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDatabase } from '../../tools/database.ts'
import { Api } from './api.ts'
import { eventually, type Running, ServiceProject } from './project.ts'

const config = {
  connections: { shop: { connector: 'sqlite', file: './shop.db' }, copy: { connector: 'sqlite', file: './copy.db' } },
  syncs: { orders: { from: 'shop.orders', to: 'copy', schedule: 'manual' } },
  projects: { red: ['shop', 'copy'] },
}

/** Where it says that its metrics are, without the path. */
async function metricsOf(worker: Running): Promise<string> {
  await worker.event('ready')
  const { metrics, url } = worker.lines.find(({ event }) => event === 'ready') ?? {}
  assert.equal(url, null)
  assert.match(String(metrics), /^http:\/\/127\.0\.0\.1:\d+\/metrics$/)
  return String(metrics).replace(/\/metrics$/, '')
}

test('a worker that is asked to tells its metrics, to keys of the API, and whether it lives; nothing else', async () => {
  await using database = await createDatabase()
  using it = new ServiceProject(config, { SYNCLINE_STORE: database.url })
  it.change('shop.db', 'create table orders (id integer primary key); insert into orders values (1), (2)')
  const keyOf = async (...args: readonly string[]) => String((await it.run('keys', 'create', ...args)).lines[0]?.key)
  const silent = it.start('worker')
  await silent.event('ready')
  assert.deepEqual(Object.keys(silent.lines.find(({ event }) => event === 'ready') ?? {}), [
    'event',
    'syncs',
    'pid',
    'url',
  ])
  silent.kill('SIGTERM')
  assert.equal((await silent.end()).code, 0)

  const killed = it.start('worker', '--metrics-port', '0')
  const url = await metricsOf(killed)
  assert.doesNotMatch(killed.stderr, /slk_/)
  const key = await keyOf('reader', '--scope', 'read')
  const red = await keyOf('red', '--scope', 'admin', '--project', 'red')
  const api = new Api(url, key)
  const status = async (asks: Api, path: string) => (await asks.get(path)).status
  assert.deepEqual(
    [await status(new Api(url, null), '/metrics'), await status(new Api(url, red), '/metrics')],
    [401, 403],
  )
  for (const path of ['/api/health', '/api/ready']) assert.equal(await status(new Api(url, null), path), 200, path)
  for (const path of ['/api/syncs', '/api/runs', '/api/events', '/docs', '/openapi.json', '/'])
    assert.equal(await status(api, path), 404, path)

  const ran = /^syncline_runs_total\{sync="orders",status="succeeded"\} 1$/m
  assert.equal((await it.run('trigger', 'orders')).code, 0)
  await eventually(async () => ran.test((await api.get('/metrics')).text), 'the run')
  assert.match((await api.get('/metrics')).text, /^syncline_rows_total\{sync="orders",what="inserted"\} 2$/m)

  const port = new URL(url).port
  const refused = await it.run('worker', '--metrics-port', port)
  assert.deepEqual(
    [refused.code === 0, /ADDRESS_IN_USE.*--metrics-port/s.test(`${JSON.stringify(refused.lines)}${refused.stderr}`)],
    [false, true],
  )
  killed.kill('SIGKILL')
  await killed.end()
  using again = new ServiceProject(config, { SYNCLINE_STORE: database.url, SYNC_METRICS_PORT: port })
  again.change('shop.db', 'create table orders (id integer primary key)')
  const next = again.start('worker')
  assert.equal(new URL(await metricsOf(next)).port, port)
  assert.doesNotMatch((await api.get('/metrics')).text, ran)
  next.kill('SIGTERM')
  assert.equal((await next.end()).code, 0)
  assert.equal((await again.run('worker', '--metrics-port', '70000')).code, 2)
})
