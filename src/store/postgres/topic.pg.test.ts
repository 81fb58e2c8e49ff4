import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { createDatabase } from '../../../tools/database.ts'
import { startPostgres } from '../../../tools/postgres.ts'
import { listen } from './hints.ts'
import { openPostgresStore } from './store.ts'

test('where somebody takes nothing of what is told, events leave off before jobs can’t be queued; then they go on', async () => {
  await using server = await startPostgres({ settings: { max_notify_queue_pages: '64' } })
  await using here = await openPostgresStore(server.url)
  await using there = await openPostgresStore(server.url)
  const { topic } = here
  assert.ok(topic !== undefined && there.topic !== undefined)
  const stop = new AbortController()
  const hearing = there.topic.hear(stop.signal)[Symbol.asyncIterator]()
  assert.equal((await hearing.next()).value, null)
  const stuck = new pg.Client({ connectionString: server.url })
  stuck.on('error', () => {})
  await stuck.connect()
  await stuck.query('listen anything')
  await stuck.query('begin')
  assert.equal(await topic.heard(), true)
  let told = 0
  for (; told < 200 && (await topic.heard()); told++) await topic.tell('x'.repeat(10_000))
  assert.ok(told > 0 && told < 200)
  const job = { sync: 's', priority: 'default', reason: 'command', dueMs: 0, attempt: 1 } as const
  await here.jobs.enqueue(job, 0)
  await stuck.query('commit')
  assert.equal(await topic.heard(), true)
  await stuck.end()
  stop.abort()
  await hearing.return?.()
})

test('the server notices when who listens is gone without a word', async () => {
  await using database = await createDatabase()
  const stop = new AbortController()
  let settings: readonly unknown[] = []
  const begin = async (query: (sql: string, values: readonly unknown[]) => Promise<readonly unknown[][]>) => {
    const names = ['tcp_user_timeout', 'tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count']
    settings = (await query('select current_setting(name) from unnest($1::text[]) as name', [names])).flat()
  }
  for await (const _ of listen(database.url, 'c', stop.signal, { name: 'test', begin })) stop.abort()
  assert.deepEqual(settings, ['30000', '10', '10', '3'])
})
