/** The contract of the store of schedules, as tests. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Schedule } from '../core/schedule.ts'
import type { ScheduleFilter, ScheduleRecord } from '../store/jobs.ts'
import type { Store } from '../store/store.ts'
import { request } from './store-job-tests.ts'
import type { WithState } from './store-state.ts'

export function scheduleTests(withState: WithState): void {
  test(
    'hazard 27: schedules are there again for whoever opens the store later',
    withState(async (state) => {
      const schedules: readonly Schedule[] = [
        { kind: 'interval', everyMs: 900_000 },
        { kind: 'cron', cron: '0 6 * * *', zone: 'Europe/Berlin' },
        { kind: 'continuous', everyMs: 2000 },
        { kind: 'after', sync: 'sync0' },
        { kind: 'webhook' },
        { kind: 'manual' },
      ]
      {
        await using store = await state.open()
        for (const [at, schedule] of schedules.entries())
          await put(store, `sync${at}`, schedule, at < 3 ? 1000 + at : null)
      }
      await using store = await state.open()
      const found = await store.schedules.list({})
      assert.deepEqual(
        found.map(({ sync, schedule }) => [sync, schedule]),
        schedules.map((schedule, at) => [`sync${at}`, schedule]),
      )
      assert.deepEqual(
        found.map(({ nextAt }) => nextAt),
        [1000, 1001, 1002, null, null, null],
      )
      assert.equal(await store.schedules.nextDue(), 1000)
      assert.deepEqual(
        (await store.schedules.list({ after: 'sync0' })).map(({ sync }) => sync),
        ['sync3'],
      )
    }),
  )

  test(
    'the schedules of one connection are listed without those of others whose names begin alike',
    withState(async (state) => {
      await using store = await state.open()
      const names = ['acme', 'acme-2/a', 'acme/a', 'acme/b', 'acme/b/c', 'acme0', 'acme0/a', 'acme_/a', 'bcme/a']
      for (const sync of names) await put(store, sync, every, 1000)
      await store.schedules.put({ sync: 'acme/d', schedule: every, origin: 'api' }, 1000)
      const namesOf = async (filter: ScheduleFilter) => (await store.schedules.list(filter)).map(({ sync }) => sync)
      assert.deepEqual(await namesOf({ connection: 'acme' }), ['acme/a', 'acme/b', 'acme/b/c', 'acme/d'])
      assert.deepEqual(await namesOf({ connection: 'acme', origin: 'api' }), ['acme/d'])
      assert.deepEqual(await namesOf({ connection: 'acm' }), [])
    }),
  )

  test(
    'what is due is fired once, however many see it',
    withState(async (state) => {
      await using store = await state.open()
      await using other = await state.open()
      await put(store, 'orders', every, 1000)
      assert.deepEqual(await store.schedules.due(999, 10), [])
      const [[mine], [theirs]] = [await store.schedules.due(1000, 10), await other.schedules.due(1000, 10)]
      assert.ok(mine !== undefined && theirs !== undefined)
      const fired = await Promise.all([
        store.schedules.fire(mine, 61_000, request('orders'), 1000),
        other.schedules.fire(theirs, 61_000, request('orders'), 1000),
      ])
      assert.deepEqual([...fired].sort(), [false, true])
      const after = await store.schedules.get('orders')
      assert.deepEqual([after?.nextAt, after?.lastAt], [61_000, 1000])
      assert.deepEqual(await store.jobs.count(), { queued: 1, running: 0 })
    }),
  )

  test(
    'saying the same again stays in step, another schedule is due when it says, and is still paused if it was',
    withState(async (state) => {
      await using store = await state.open()
      await put(store, 'orders', every, 1000)
      await put(store, 'orders', every, 5000)
      assert.equal((await store.schedules.get('orders'))?.nextAt, 1000)
      await put(store, 'orders', { kind: 'interval', everyMs: 5 }, 5000)
      assert.equal((await store.schedules.get('orders'))?.nextAt, 5000)
      await store.schedules.pause('orders', true, null)
      await put(store, 'orders', every, 7000)
      const paused = await store.schedules.get('orders')
      assert.deepEqual([paused?.paused, paused?.nextAt], [true, null])
    }),
  )

  test(
    'a paused one is not due and not fired, one that goes on is due when told',
    withState(async (state) => {
      await using store = await state.open()
      await put(store, 'orders', every, 1000)
      const [due] = await store.schedules.due(1000, 10)
      assert.ok(due)
      assert.equal(await store.schedules.pause('orders', true, null), true)
      assert.equal(await store.schedules.pause('unknown', true, null), false)
      assert.equal(await store.schedules.fire(due, 2000, request('orders'), 1000), false)
      assert.deepEqual(await store.schedules.due(9000, 10), [])
      assert.equal(await store.schedules.nextDue(), null)
      await store.schedules.pause('orders', false, 3000)
      assert.equal((await store.schedules.due(3000, 10)).length, 1)
    }),
  )

  test(
    'what a call of the API said is not taken back by the config, and what the config said is by a call',
    withState(async (state) => {
      await using store = await state.open()
      await put(store, 'orders', every, 1000)
      await store.schedules.put({ sync: 'orders', schedule: { kind: 'manual' }, origin: 'api' }, null)
      await put(store, 'orders', every, 1000)
      const called = await store.schedules.get('orders')
      assert.deepEqual([called?.origin, called?.schedule, called?.nextAt], ['api', { kind: 'manual' }, null])
      await store.schedules.remove('orders')
      await put(store, 'orders', every, 1000)
      assert.equal((await store.schedules.get('orders'))?.origin, 'config')
    }),
  )

  test(
    'a sync that fails is held back, and a removed one is gone',
    withState(async (state) => {
      await using store = await state.open()
      await put(store, 'orders', every, 1000)
      await store.schedules.note('orders', 3, { notBeforeMs: 4000 })
      const failing = await store.schedules.get('orders')
      assert.deepEqual([failing?.failures, failing?.nextAt], [3, 4000])
      await store.schedules.note('orders', 4, { notBeforeMs: 2000 })
      assert.equal((await store.schedules.get('orders'))?.nextAt, 4000)
      await store.schedules.note('orders', 0, { notAfterMs: 5000 })
      const again = await store.schedules.get('orders')
      assert.deepEqual([again?.failures, again?.nextAt], [0, 4000])
      await store.schedules.note('orders', 0, { notAfterMs: 3000 })
      assert.equal((await store.schedules.get('orders'))?.nextAt, 3000)
      await store.schedules.pause('orders', true, null)
      await store.schedules.note('orders', 0, { notBeforeMs: 1000, notAfterMs: 9000 })
      assert.equal((await store.schedules.get('orders'))?.nextAt, null)
      assert.equal(await store.schedules.remove('orders'), true)
      assert.equal(await store.schedules.remove('orders'), false)
      assert.equal(await store.schedules.get('orders'), null)
    }),
  )
}

const every: Schedule = { kind: 'interval', everyMs: 60_000 }

function put(store: Store, sync: string, schedule: Schedule, firstMs: number | null): Promise<void> {
  const record: Pick<ScheduleRecord, 'sync' | 'schedule' | 'origin'> = { sync, schedule, origin: 'config' }
  return store.schedules.put(record, firstMs)
}
