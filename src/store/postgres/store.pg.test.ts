import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDatabase } from '../../../tools/database.ts'
import { SyncError } from '../../core/error.ts'
import { request } from '../../testing/store-job-tests.ts'
import { storeTests } from '../../testing/store-tests.ts'
import { Database } from './database.ts'
import { fence } from './leases.ts'
import { openPostgresStore } from './store.ts'

storeTests(
  'postgres',
  async () => {
    const database = await createDatabase()
    return {
      open: () => openPostgresStore(database.url),
      [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
    }
  },
  { shared: true },
)

describe('the schema', () => {
  test('processes that make it at the same time agree on it', async () => {
    await using database = await createDatabase()
    const script = `
      import { openPostgresStore } from ${JSON.stringify(join(import.meta.dirname, 'store.ts'))}
      const store = await openPostgresStore(process.argv[1])
      console.log(await store.projectId())
      await store[Symbol.asyncDispose]()
    `
    const ids = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const child = spawn(process.execPath, ['--input-type=module', '-e', script, database.url], {
          stdio: ['ignore', 'pipe', 'inherit'],
        })
        return String(Buffer.concat(await child.stdout.toArray())).trim()
      }),
    )
    assert.equal(new Set(ids).size, 1, ids.join())
    assert.match(ids[0] ?? '', /^[0-9a-f-]{36}$/)
  })

  test('one that a newer Syncline wrote is refused, reading and writing', async () => {
    await using database = await createDatabase()
    await (await openPostgresStore(database.url))[Symbol.asyncDispose]()
    await query(database.url, "insert into syncline.migration (version, name) values (99, 'later')")
    for (const readOnly of [true, false])
      await assert.rejects(openPostgresStore(database.url, { readOnly }), { code: 'FILE_UNUSABLE', message: /newer/ })
  })

  test('each project in a database has its own', async () => {
    await using database = await createDatabase()
    await using first = await openPostgresStore(`${database.url}?schema=shop`)
    await using second = await openPostgresStore(`${database.url}?schema=crm`)
    assert.notEqual(await first.projectId(), await second.projectId())
    await assert.rejects(openPostgresStore(`${database.url}?schema=no"t`), { code: 'CONFIG_INVALID' })
    await assert.rejects(openPostgresStore(`${database.url}?sslmod=require`), {
      code: 'CONFIG_INVALID',
      message: /sslmod/,
    })
  })
})

describe('reading only', () => {
  test('makes nothing where there is nothing, and writes nothing where there is', async () => {
    await using database = await createDatabase()
    {
      await using nothing = await openPostgresStore(database.url, { readOnly: true })
      assert.equal(await nothing.projectId(), '')
      assert.deepEqual(await nothing.runs.list({ limit: 10 }), [])
    }
    assert.deepEqual(await query(database.url, "select 1 from pg_namespace where nspname = 'syncline'"), [])
    await using writer = await openPostgresStore(database.url)
    await using reader = await openPostgresStore(database.url, { readOnly: true })
    assert.equal(await reader.projectId(), await writer.projectId())
    await assert.rejects(reader.runs.start({ id: 'r1', sync: 'orders', startedAt: 1 }), /read-only/)
    await using work = await reader.pairs.plan('orders')
    await work.add([{ side: 'left', key: '1', match: null }])
    assert.equal(await work.count('writes'), 1)
    await work.sweep.begin('left')
    await work.sweep.saw(['1'])
    assert.equal(await work.sweep.end(), 0)
    assert.equal(await work.passAlike(), 0)
    await work[Symbol.asyncDispose]()
    await using again = await reader.pairs.plan('orders')
    assert.equal(await again.count('writes'), 0)
  })
})

describe('a process that freezes in the middle of a transaction', () => {
  test('keeps nobody from claiming other jobs, and is let go of before its lease ends', async () => {
    await using database = await createDatabase()
    await using store = await openPostgresStore(database.url)
    await store.jobs.enqueue(request('orders'), 1000)
    await store.jobs.enqueue(request('contacts'), 1000)
    const [orders] = await store.jobs.claim({ worker: 'frozen', leaseMs: 500, limit: 1 }, 1000)
    await using frozen = new Database({ url: database.url, schema: 'syncline', readOnly: false })
    const asleep = Promise.withResolvers<void>()
    const locked = Promise.withResolvers<void>()
    const commit = frozen.transaction(async (queries) => {
      await fence(queries, 'orders', orders?.generation ?? 0)
      locked.resolve()
      await asleep.promise
      await queries.execute("insert into run (id, sync, status, started_at) values ('late', 'orders', 'running', 1)")
    })
    commit.catch(() => {})
    await locked.promise
    const beat = await store.jobs.heartbeat(orders === undefined ? [] : [orders], 1100, 500)
    assert.deepEqual(beat.lost, [], 'a heartbeat passes')
    const claim = async () =>
      (await store.jobs.claim({ worker: 'other', leaseMs: 500, limit: 5 }, 9000)).map(({ sync }) => sync)
    assert.deepEqual(await claim(), ['contacts'])
    let taken = await claim()
    for (; taken.length === 0; taken = await claim()) await sleep(200)
    assert.deepEqual(taken, ['orders'])
    asleep.resolve()
    await assert.rejects(commit, { code: 'CONNECTION_LOST' })
    assert.equal(await store.runs.get('late'), null)
  })
})

test('connections that the server ends are opened anew, and hints come again', async () => {
  await using database = await createDatabase()
  await using store = await openPostgresStore(database.url)
  const stop = new AbortController()
  const hints = store.hints?.(stop.signal)[Symbol.asyncIterator]()
  assert.ok(hints)
  await hints.next()
  await query(
    database.url,
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
  )
  // It says that it listens again; what came meanwhile is looked at.
  assert.equal((await hints.next()).done, false)
  await store.schedules.put({ sync: 'orders', schedule: { kind: 'manual' }, origin: 'api' }, null)
  assert.equal((await hints.next()).done, false)
  stop.abort()
  assert.equal((await hints.next()).done, true)
})

test('what went wrong is told with the server’s place, never with the password', async () => {
  const wrong = new URL('postgres://someone:s3cret@127.0.0.1:1/nowhere')
  const error = await openPostgresStore(wrong.href).catch((thrown: unknown) => thrown)
  assert.ok(error instanceof SyncError && error.code === 'CONNECTION_REFUSED')
  assert.match(error.message, /127\.0\.0\.1:1\/nowhere/)
  assert.doesNotMatch(`${error.message} ${error.hint}`, /s3cret/)
})

async function query(url: string, sql: string): Promise<readonly unknown[]> {
  await using database = new Database({ url, schema: 'public', readOnly: false })
  return await database.query(sql)
}
