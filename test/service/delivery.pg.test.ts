import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { SyncError } from '../../src/core/error.ts'
import { systemClock } from '../../src/engine/clock.ts'
import { Events } from '../../src/engine/observe/events.ts'
import { Service } from '../../src/engine/queue/service.ts'
import { type JobResult, Workers } from '../../src/engine/queue/worker.ts'
import { openPostgresStore } from '../../src/store/postgres/store.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { request } from '../../src/testing/store-job-tests.ts'
import { createDatabase } from '../../tools/database.ts'
import { eventually } from './project.ts'

test('what another process puts into the queue wakes a worker: its clock stands still, so it never looks by itself', async () => {
  await using database = await createDatabase()
  await using store = await openPostgresStore(database.url)
  await using other = await openPostgresStore(database.url)
  const clock = new ManualClock(10_000)
  const service = new Service({
    ...{ store, clock, random: () => 0, worker: 'w', concurrency: 1 },
    definitions: {
      find: async (id) => {
        throw new SyncError('SYNC_UNKNOWN', `no sync ${id}`)
      },
      exclusive: () => [],
      lasting: () => false,
      project: () => null,
    },
    makeProject: () => {
      throw new Error('nothing runs')
    },
    events: new Events(() => {}),
    log: () => {},
  })
  const stop = new AbortController()
  const running = service.run(stop.signal)
  for (const sync of ['first', 'second', 'third']) {
    await other.jobs.enqueue(request(sync), 10_000)
    await eventually(async () => (await other.jobs.list({ sync, status: 'failed', limit: 1 })).length === 1, sync)
    // It has looked after its last job by then, and found nothing.
    await sleep(200)
  }
  stop.abort()
  await running
})

test('many jobs put at once are for all who have a hand free: each who fills his hands passes the message on', async () => {
  await using database = await createDatabase()
  await using store = await openPostgresStore(database.url)
  let now = 10_000
  const still = new ManualClock(now)
  // Time goes on, and nobody wakes up from that: only messages do it.
  const clock = { now: () => now, sleep: still.sleep.bind(still) }
  const stop = new AbortController()
  const ended = Promise.withResolvers<void>()
  const result: JobResult = { kind: 'ended', status: 'succeeded', run: null, error: null, retry: false }
  const begun: string[] = []
  const workers = ['a', 'b', 'c'].map(
    (worker) =>
      new Workers({
        ...{ store, clock, random: () => 0, worker, concurrency: 1, emit: () => {}, log: () => {} },
        execute: async () => {
          begun.push(worker)
          await ended.promise
          return result
        },
      }),
  )
  const running = workers.map((worker) => worker.run(stop.signal))
  for (const sync of ['first', 'second', 'third', 'fourth'])
    await store.jobs.enqueue({ ...request(sync), dueMs: 20_000 }, now)
  // Until all three hear, and have looked for nothing.
  await sleep(1500)
  assert.deepEqual(begun, [])
  now = 20_000
  store.delivery?.send()
  await eventually(async () => begun.length === 3, 'all three work')
  assert.deepEqual(begun.toSorted(), ['a', 'b', 'c'])
  ended.resolve()
  // The first hand that is free takes the fourth.
  await eventually(async () => begun.length === 4, 'the fourth, too')
  stop.abort()
  await Promise.all(running)
})

test('processes that begin at the same time on a new store all hear', async () => {
  await using database = await createDatabase()
  const stores = await Promise.all(Array.from({ length: 6 }, () => openPostgresStore(database.url)))
  const stop = new AbortController()
  const all = stores.map((store) => store.delivery?.receive(stop.signal)[Symbol.asyncIterator]())
  await Promise.all(all.map(async (messages) => assert.equal((await messages?.next())?.done, false)))
  stop.abort()
  await Promise.all(all.map(async (messages) => assert.equal((await messages?.next())?.done, true)))
  for (const store of stores) await store[Symbol.asyncDispose]()
})

test('who waits when somebody drops the schema of pg-boss is told, and makes it anew when he waits again', async () => {
  await using database = await createDatabase()
  await using store = await openPostgresStore(database.url)
  const stop = new AbortController()
  const receive = async () => {
    const messages = store.delivery?.receive(stop.signal)[Symbol.asyncIterator]()
    assert.equal((await messages?.next())?.done, false)
    return messages
  }
  const next = (await receive())?.next()
  const admin = new pg.Client({ connectionString: database.url })
  admin.on('error', () => {})
  await admin.connect()
  // Until it works: what is dropped before would be made by nobody.
  await sleep(500)
  await admin.query('drop schema syncline_pgboss cascade')
  // It hears of that when it looks for a message.
  await admin.query(`select pg_notify('pgboss_' || left(encode(sha224('syncline_pgboss'::bytea), 'hex'), 24), 'work')`)
  await assert.rejects(next ?? assert.fail(), /does not exist/)
  const again = await receive()
  await store.jobs.enqueue(request('orders'), 10_000)
  assert.equal((await again?.next())?.done, false)
  stop.abort()
  await again?.next()
  await admin.end()
})

test('where pg-boss may not have its schema, the worker says what is missing, and looks by itself', async () => {
  await using database = await createDatabase()
  await using owner = await openPostgresStore(database.url)
  const role = `worker_${randomUUID().replaceAll('-', '').slice(0, 12)}`
  const admin = new pg.Client({ connectionString: database.url })
  await admin.connect()
  await admin.query(`create role ${role} login password 'w'; grant usage on schema syncline to ${role};
    grant all on all tables in schema syncline to ${role}; grant all on all sequences in schema syncline to ${role}`)
  const url = new URL(database.url)
  url.username = role
  url.password = 'w'
  await using store = await openPostgresStore(url.href)
  const stop = new AbortController()
  const said: string[] = []
  const workers = new Workers({
    ...{ store, clock: systemClock, random: () => 0, worker: 'w', concurrency: 1, emit: () => {} },
    execute: async () => ({ kind: 'ended', status: 'succeeded', run: null, error: null, retry: false }),
    log: (line) => said.push(line),
  })
  const running = workers.run(stop.signal)
  await eventually(async () => said.length > 0, 'it says so')
  assert.match(said.join(), /waiting for messages .*permission denied for database/)
  await owner.jobs.enqueue({ ...request('orders'), dueMs: Date.now() }, Date.now())
  await eventually(async () => (await owner.jobs.list({ status: 'succeeded', limit: 1 })).length === 1, 'it is done')
  stop.abort()
  await running
  await admin.query(`drop owned by ${role}; drop role ${role}`)
  await admin.end()
})
