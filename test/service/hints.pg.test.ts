import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { SyncError } from '../../src/core/error.ts'
import { Events } from '../../src/engine/events.ts'
import { Service } from '../../src/engine/service.ts'
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
