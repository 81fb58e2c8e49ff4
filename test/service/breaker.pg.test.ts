/** A connection that does not answer is left alone by all processes on a store. */
import assert from 'node:assert/strict'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { test } from 'node:test'
import pg from 'pg'
import { openPostgresStore } from '../../src/store/postgres/store.ts'
import { request } from '../../src/testing/store-job-tests.ts'
import { createDatabase } from '../../tools/database.ts'
import { Api } from './api.ts'
import { eventually, type Running, ServiceProject } from './project.ts'

/** Stands before a database, and refuses every login until it is told to let them pass. */
class Door implements AsyncDisposable {
  opens = false
  readonly url: URL
  readonly #server: Server

  constructor(url: string) {
    this.url = new URL(url)
    const { hostname, port } = new URL(url)
    this.#server = createServer((socket) => {
      socket.on('error', () => {})
      if (!this.opens) {
        const text = Buffer.from('SFATAL\0C28P01\0Mnot now\0\0')
        const head = Buffer.from([69, 0, 0, 0, text.length + 4])
        socket.once('data', () => socket.end(Buffer.concat([head, text])))
        return
      }
      const system = connect(Number(port), hostname).on('error', () => socket.destroy())
      socket.pipe(system).pipe(socket)
    })
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    this.url.host = `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
  }
}

test('three failures in whatever processes open it, one tells, none of them begins, and one tries when the pause is over', async () => {
  await using source = await createDatabase()
  const client = new pg.Client({ connectionString: source.url })
  await client.connect()
  await client.query('create table orders (id integer primary key)')
  await client.end()
  await using door = await new Door(source.url).listen()
  await using state = await createDatabase()
  const sync = (name: string) => ({ from: 'gone.public.orders', to: `copy.${name}`, schedule: 'manual' })
  const config = {
    connections: {
      gone: { connector: 'postgres', url: door.url.href },
      copy: { connector: 'sqlite', file: './copy.db' },
    },
    syncs: Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, sync(name)])),
  }
  using it = new ServiceProject(config, { SYNCLINE_STORE: state.url })
  await using store = await openPostgresStore(state.url)
  const created = await it.run('keys', 'create', 'reader', '--scope', 'read')
  const ended = (worker: Running, name: string, status: string) =>
    worker.event('job.ended', (line) => line.sync === name && line.status === status)
  const started = async () => {
    const worker = it.start('worker', '--metrics-port', '0')
    await worker.event('ready')
    return worker
  }
  const first = await started()
  for (const name of ['a', 'b']) {
    await store.jobs.enqueue(request(name), Date.now())
    await ended(first, name, 'failed')
  }
  first.kill('SIGTERM')
  assert.equal((await first.end()).code, 0, first.stderr)

  const workers = [await started(), await started()]
  const told = (event: string) =>
    [first, ...workers].flatMap(({ lines }) => lines.filter((line) => line.event === event))
  await store.jobs.enqueue(request('c'), Date.now())
  await eventually(() => told('connection.unhealthy').length > 0, 'the open circuit')
  assert.deepEqual(
    told('connection.unhealthy').map(({ connection }) => connection),
    ['gone'],
  )
  await store.jobs.enqueue(request('d'), Date.now())
  const waiting = async () => (await store.jobs.list({ sync: 'd', status: 'queued', limit: 1 }))[0]?.dueAt
  await eventually(async () => (await waiting()) === told('connection.unhealthy')[0]?.until, 'the job that waits')
  // Each tells it, whoever told the event.
  const metrics = () =>
    Promise.all(
      workers.map(async ({ lines }) => {
        const url = new URL(String(lines.find(({ event }) => event === 'ready')?.metrics))
        return (await new Api(url.origin, String(created.lines[0]?.key)).get('/metrics')).text
      }),
    )
  for (const text of await metrics()) assert.match(text, /^syncline_connection_unhealthy\{connection="gone"\} 1$/m)

  door.opens = true
  await eventually(() => told('connection.healthy').length > 0, 'it to answer')
  await eventually(() => told('job.ended').some((line) => line.sync === 'd' && line.status === 'succeeded'), 'the run')
  for (const text of await metrics()) assert.doesNotMatch(text, /^syncline_connection_unhealthy\{/m)
  assert.deepEqual([told('connection.unhealthy').length, told('connection.healthy').length], [1, 1])
  for (const worker of workers) worker.kill('SIGTERM')
  for (const worker of workers) assert.equal((await worker.end()).code, 0, worker.stderr)
})
