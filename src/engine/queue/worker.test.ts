import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EngineEvent } from '../../core/event.ts'
import type { Claim, JobRequest, JobStore } from '../../store/jobs.ts'
import { openMemoryStore } from '../../store/sqlite/store.ts'
import type { Store } from '../../store/store.ts'
import { ManualClock, settle } from '../../testing/manual-clock.ts'
import { LEASE_MS } from '../runs/run-sync.ts'
import { GRACE_MS } from '../runs/time-limit.ts'
import { Scheduler } from './scheduler.ts'
import { type JobResult, Workers } from './worker.ts'

const START = 1_000_000
const down = { code: 'CONNECTION_LOST', message: 'gone', hint: null }

interface World extends AsyncDisposable {
  readonly store: Store
  readonly clock: ManualClock
  readonly workers: Workers
  readonly events: EngineEvent[]
  /** The syncs whose jobs were begun, in order. */
  readonly begun: string[]
  /** What a job of a sync comes to: succeeds at once, unless said otherwise. */
  readonly results: Map<string, (claim: Claim, signal: AbortSignal) => Promise<JobResult>>
  enqueue(sync: string, over?: Partial<JobRequest>): Promise<string>
  stop(): Promise<void>
}

function world(options: { store?: Store; clock?: ManualClock; worker?: string; concurrency?: number } = {}): World {
  const store = options.store ?? openMemoryStore()
  const clock = options.clock ?? new ManualClock(START)
  const events: EngineEvent[] = []
  const begun: string[] = []
  const results: World['results'] = new Map()
  const workers = new Workers({
    store,
    clock,
    random: () => 0.5,
    worker: options.worker ?? 'w',
    concurrency: options.concurrency ?? 2,
    execute: async (claim, signal) => {
      begun.push(claim.sync)
      return (await results.get(claim.sync)?.(claim, signal)) ?? ended('succeeded')
    },
    emit: (event) => events.push(event),
    log: () => {},
  })
  const scheduler = new Scheduler({ store, clock, onFired: () => workers.wake(), log: () => {} })
  const stopping = new AbortController()
  const whole = Promise.all([workers.run(stopping.signal), scheduler.run(stopping.signal)])
  const stop = async () => {
    stopping.abort()
    await whole
  }
  return {
    store,
    clock,
    workers,
    events,
    begun,
    results,
    enqueue: async (sync, over = {}) => {
      const request: JobRequest = { sync, priority: 'default', reason: 'command', dueMs: 0, attempt: 1, ...over }
      return (await store.jobs.enqueue(request, clock.now())).id
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

function ended(status: 'succeeded' | 'failed' | 'held', over: { retry?: boolean } = {}): JobResult {
  return { kind: 'ended', status, run: 'r', error: status === 'failed' ? down : null, retry: over.retry ?? false }
}

/** Runs until it is told to stop. */
function untilStopped(_claim: Claim, signal: AbortSignal): Promise<JobResult> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve({ kind: 'interrupted', run: 'r' })))
}

describe('workers', () => {
  test('a job whose end the store is keeping is not taken for lost', async () => {
    await using store = openMemoryStore()
    const clock = new ManualClock(START)
    const answer = Promise.withResolvers<void>()
    const jobs = new Proxy(store.jobs, {
      get: (target, name: keyof JobStore) =>
        name === 'finish'
          ? async (...args: Parameters<JobStore['finish']>) => {
              const finished = await target.finish(...args)
              await answer.promise
              return finished
            }
          : target[name].bind(target),
    })
    const told: string[] = []
    const events: EngineEvent[] = []
    const workers = new Workers({
      store: { jobs, schedules: store.schedules },
      ...{ clock, random: () => 0.5, worker: 'w', concurrency: 1 },
      execute: async () => ended('succeeded'),
      emit: (event) => events.push(event),
      log: (message) => told.push(message),
    })
    const stopping = new AbortController()
    const running = workers.run(stopping.signal)
    await store.jobs.enqueue({ sync: 'a', priority: 'default', reason: 'command', dueMs: 0, attempt: 1 }, clock.now())
    workers.wake()
    await settle()
    await clock.advance(LEASE_MS)
    answer.resolve()
    await settle()
    assert.deepEqual(told, [])
    assert.deepEqual(
      events.map(({ event }) => event),
      ['job.ended'],
    )
    stopping.abort()
    await running
  })

  test('as many jobs at a time as there are hands, and each sync’s next only when its last has ended', async () => {
    await using it = world({ concurrency: 2 })
    for (const sync of ['a', 'b', 'c']) it.results.set(sync, untilStopped)
    for (const sync of ['a', 'b', 'c']) await it.enqueue(sync)
    await it.clock.advance(1000)
    assert.deepEqual(it.begun, ['a', 'b'])
    assert.deepEqual(await it.store.jobs.count(), { queued: 1, running: 2 })
  })

  test('a failure that may pass is tried again for who asked, later each time, and not for ever', async () => {
    await using it = world()
    const key = { id: 'k', name: 'robot' }
    it.results.set('a', async () => ended('failed', { retry: true }))
    const starts: number[] = []
    it.results.set('a', async () => {
      starts.push(it.clock.now() - START)
      return ended('failed', { retry: true })
    })
    await it.enqueue('a', { key })
    await it.clock.advance(3_600_000)
    const jobs = await it.store.jobs.list({ limit: 10 })
    assert.deepEqual(
      jobs.map((job) => job.key),
      Array(5).fill(key),
    )
    assert.equal(starts.length, 5)
    const waits = starts.slice(1).map((start, at) => Math.round((start - (starts[at] ?? 0)) / 1000))
    assert.deepEqual(waits, [5, 10, 20, 40])
  })

  test('a failure that does not pass is not tried again', async () => {
    await using it = world()
    it.results.set('a', async () => ended('failed'))
    await it.enqueue('a')
    await it.clock.advance(3_600_000)
    assert.deepEqual(it.begun, ['a'])
  })

  test('what throws is a failure of that job, and the others go on', async () => {
    await using it = world()
    it.results.set('a', async () => {
      throw new Error('a bug')
    })
    const id = await it.enqueue('a')
    await it.enqueue('b')
    await it.clock.advance(2000)
    const job = await it.store.jobs.get(id)
    assert.ok(job?.state.status === 'failed')
    assert.equal(job.state.error?.code, 'INTERNAL')
    assert.deepEqual(it.begun, ['a', 'b'])
  })

  test('a sync that runs after another runs when that has succeeded, and only then', async () => {
    await using it = world()
    await it.store.schedules.put({ sync: 'b', schedule: { kind: 'after', sync: 'a' }, origin: 'config' }, null)
    it.results.set('a', async () => ended('failed'))
    await it.enqueue('a')
    await it.clock.advance(5000)
    assert.deepEqual(it.begun, ['a'])
    it.results.delete('a')
    await it.enqueue('a')
    await it.clock.advance(5000)
    assert.deepEqual(it.begun, ['a', 'a', 'b'])
    await it.store.schedules.pause('b', true, null)
    await it.enqueue('a')
    await it.clock.advance(5000)
    assert.deepEqual(it.begun, ['a', 'a', 'b', 'a'])
  })

  test('a running job that is cancelled stops, and ends cancelled', async () => {
    await using it = world()
    it.results.set('a', untilStopped)
    const id = await it.enqueue('a')
    await it.clock.advance(1000)
    await it.store.jobs.cancel(id, it.clock.now())
    await it.clock.advance(6000)
    const job = await it.store.jobs.get(id)
    assert.equal(job?.state.status, 'cancelled')
  })

  test('a stop gives back also what ends only when it is given up', async () => {
    const it = world()
    it.results.set('a', async (claim, signal) => {
      const stopped = await untilStopped(claim, signal)
      await it.clock.sleep(GRACE_MS + 500, new AbortController().signal)
      return stopped
    })
    const id = await it.enqueue('a')
    await it.clock.advance(1000)
    const stopping = it.stop()
    await it.clock.advance(60_000)
    await stopping
    assert.equal((await it.store.jobs.get(id))?.state.status, 'queued')
  })

  test('a stop gives back what it interrupts, and the next process goes on with it at once', async () => {
    const it = world()
    it.results.set('a', untilStopped)
    const id = await it.enqueue('a')
    await it.clock.advance(1000)
    await it.stop()
    const job = await it.store.jobs.get(id)
    assert.deepEqual([job?.state.status, job?.attempt], ['queued', 1])
    await using next = world({ store: it.store, clock: it.clock, worker: 'next' })
    await next.clock.advance(1000)
    assert.deepEqual(next.begun, ['a'])
  })

  test('hazard 24: a worker that was frozen past its lease loses the job, stops it, and what it comes to is not heard', async () => {
    const clock = new ManualClock(START)
    const store = openMemoryStore()
    // The frozen one's clock stands still: it beats no more.
    const frozenClock = new ManualClock(START)
    await using frozen = world({ store, clock: frozenClock, worker: 'frozen' })
    let told = false
    const release = Promise.withResolvers<JobResult>()
    frozen.results.set('a', (_claim, signal) => {
      signal.addEventListener('abort', () => {
        told = true
      })
      return release.promise
    })
    const id = await frozen.enqueue('a')
    await frozenClock.advance(1000)
    assert.deepEqual(frozen.begun, ['a'])
    await using other = world({ store, clock, worker: 'other' })
    await clock.advance(19_000)
    assert.deepEqual(other.begun, [])
    await clock.advance(3000)
    assert.deepEqual(other.begun, ['a'])
    assert.equal((await store.jobs.get(id))?.state.status, 'succeeded')
    await frozenClock.advance(6000)
    assert.ok(told)
    release.resolve(ended('failed'))
    await settle()
    assert.equal((await store.jobs.get(id))?.state.status, 'succeeded')
    assert.deepEqual(
      frozen.events.filter(({ event }) => event === 'job.ended'),
      [],
    )
  })
})

describe('schedules', () => {
  test('a sync that kept failing is held back, and no longer once a run of it succeeds', async () => {
    await using it = world()
    await it.store.schedules.put(
      { sync: 'a', schedule: { kind: 'interval', everyMs: 15_000 }, origin: 'config' },
      START,
    )
    it.results.set('a', async () => ended('failed'))
    await it.clock.advance(600_000)
    const held = await it.store.schedules.get('a')
    assert.ok(held !== null && held.failures > 5 && (held.nextAt ?? 0) > it.clock.now() + 15_000, JSON.stringify(held))
    it.results.delete('a')
    await it.enqueue('a')
    it.workers.wake()
    await it.clock.advance(1)
    const free = await it.store.schedules.get('a')
    assert.equal(free?.failures, 0)
    assert.ok((free?.nextAt ?? 0) <= it.clock.now() + 15_000, JSON.stringify(free))
  })

  test('what is due runs, in step, and what was missed runs once', async () => {
    await using it = world()
    await it.store.schedules.put(
      { sync: 'a', schedule: { kind: 'interval', everyMs: 60_000 }, origin: 'config' },
      START,
    )
    await it.clock.advance(150_000)
    assert.equal(it.begun.length, 3)
    await it.stop()
    it.clock.set(START + 3_600_000 + 5_000)
    await using later = world({ store: it.store, clock: it.clock })
    await later.clock.advance(10_000)
    assert.equal(later.begun.length, 1)
    await later.clock.advance(50_000)
    assert.equal(later.begun.length, 2)
  })

  test('a sync that keeps failing runs less and less often, somebody is told, and once it succeeds it is told too', async () => {
    await using it = world()
    await it.store.schedules.put({ sync: 'a', schedule: { kind: 'interval', everyMs: 1000 }, origin: 'config' }, START)
    it.results.set('a', async () => ended('failed'))
    await it.clock.advance(60_000)
    assert.ok(it.begun.length >= 4 && it.begun.length <= 6, String(it.begun.length))
    const alerts = it.events.filter(({ event }) => event === 'sync.failing')
    assert.equal(alerts.length, 1)
    it.results.delete('a')
    await it.clock.advance(120_000)
    assert.ok(it.begun.length > 20)
    assert.equal(it.events.filter(({ event }) => event === 'sync.recovered').length, 1)
  })

  test('a schedule that is set while it works is taken up within a second', async () => {
    await using it = world()
    await it.clock.advance(10_000)
    await it.store.schedules.put(
      { sync: 'a', schedule: { kind: 'interval', everyMs: 60_000 }, origin: 'api' },
      it.clock.now(),
    )
    await it.clock.advance(1000)
    assert.deepEqual(it.begun, ['a'])
  })
})
