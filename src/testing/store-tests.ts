/** The contract of a store, as tests: every store passes them. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SyncError } from '../core/error.ts'
import { type RunRecord, zeroCounts } from '../core/run.ts'
import type { Store } from '../store/store.ts'
import { jobTests, request } from './store-job-tests.ts'
import { pairTests } from './store-pair-tests.ts'
import { recordTests } from './store-record-tests.ts'
import { scheduleTests } from './store-schedule-tests.ts'
import type { StoreState, WithState } from './store-state.ts'

/** What differs from store to store. */
export interface StoreTraits {
  /** Any number of processes run one project: leases keep them apart, not the project lock. Default: one at a time. */
  readonly shared?: boolean
}

/** Runs the contract tests against a store. `make` gives a new, empty state each time. */
export function storeTests(name: string, make: () => Promise<StoreState>, { shared = false }: StoreTraits = {}): void {
  const withState = (run: (state: StoreState) => Promise<void>) => async () => {
    await using state = await make()
    await run(state)
  }
  describe(`${name} keeps the contract of a store`, () => {
    describe('project', () => projectTests(withState))
    describe('processes', () => (shared ? sharedTests(withState) : lockTests(withState)))
    describe('runs', () => runTests(withState))
    describe('releases', () => releaseTests(withState))
    describe('leases', () => leaseTests(withState))
    describe('pairs', () => pairTests(withState))
    describe('jobs', () => jobTests(withState))
    describe('schedules', () => scheduleTests(withState))
    describe('records', () => recordTests(withState))
  })
}

function projectTests(withState: WithState): void {
  test(
    'the project id is made once, and is the same for all who open the project at the same time',
    withState(async (state) => {
      const stores = await Promise.all(Array.from({ length: 4 }, () => state.open()))
      const ids = new Set(await Promise.all(stores.map((store) => store.projectId())))
      for (const store of stores) await store[Symbol.asyncDispose]()
      assert.equal(ids.size, 1)
      assert.match([...ids][0] ?? '', /^[0-9a-f-]{36}$/)
      await using later = await state.open()
      assert.ok(ids.has(await later.projectId()))
    }),
  )
}

/** One process at a time runs a project. */
function lockTests(withState: WithState): void {
  test(
    'the project lock is held by one at a time, and names its holder',
    withState(async (state) => {
      await using first = await state.open()
      await using second = await state.open()
      const lock = await first.lock()
      const refused = await second.lock().catch((error: unknown) => error)
      assert.ok(refused instanceof SyncError)
      assert.equal(refused.code, 'PROJECT_LOCKED')
      assert.ok(refused.message.includes(String(process.pid)))
      await lock[Symbol.asyncDispose]()
      await lock[Symbol.asyncDispose]()
      const next = await second.lock()
      await next[Symbol.asyncDispose]()
    }),
  )

  test(
    'a run whose process ended without finishing it is interrupted',
    withState(async (state) => {
      const died = await state.open()
      await died.lock()
      await died.runs.start({ id: 'r1', sync: 'orders', startedAt: 1000 })
      await using observer = await state.open()
      assert.equal((await observer.runs.get('r1'))?.status, 'running')
      await died[Symbol.asyncDispose]()
      assert.equal((await observer.runs.get('r1'))?.status, 'interrupted')
      assert.equal((await observer.runs.list({ status: 'interrupted', limit: 9 })).length, 1)
      await using next = await state.open()
      await using _lock = await next.lock()
      assert.equal((await observer.runs.get('r1'))?.status, 'interrupted')
    }),
  )
}

/** Any number of processes run a project. */
function sharedTests(withState: WithState): void {
  test(
    'a schedule that one process changes is hinted at to the others',
    withState(async (state) => {
      await using store = await state.open()
      await using other = await state.open()
      const stop = new AbortController()
      const hints = other.hints?.(stop.signal)[Symbol.asyncIterator]()
      assert.ok(hints, 'a store that many share gives hints')
      // The first says that it listens now.
      assert.equal((await hints.next()).done, false)
      await store.schedules.put({ sync: 'orders', schedule: { kind: 'manual' }, origin: 'api' }, null)
      assert.equal((await hints.next()).done, false)
      assert.notEqual(await other.schedules.get('orders'), null)
      stop.abort()
      for (let hint = await hints.next(); hint.done !== true; hint = await hints.next());
    }),
  )

  test(
    'what one process puts into the queue is delivered to one of those who wait, and is there by then',
    withState(async (state) => {
      await using store = await state.open()
      await using first = await state.open()
      await using second = await state.open()
      const stop = new AbortController()
      const receive = async (worker: Store) => {
        const messages = worker.delivery?.receive(stop.signal)[Symbol.asyncIterator]()
        assert.ok(messages, 'a store that many share delivers')
        // The first says that it hears now.
        await messages.next()
        return messages
      }
      const [holding, free] = [await receive(first), await receive(second)]
      await store.jobs.enqueue(request('orders'), 1000)
      await holding.next()
      assert.equal((await first.jobs.count()).queued, 1)
      // He who holds a message gets no other: all that follow are for the other one.
      for (const [at, sync] of ['contacts', 'deals', 'notes'].entries()) {
        const message = free.next()
        await store.jobs.enqueue(request(sync), 1000)
        await message
        assert.equal((await second.jobs.count()).queued, at + 2)
      }
      stop.abort()
      for (const messages of [holding, free]) while ((await messages.next()).done !== true);
    }),
  )

  test(
    'what one process tells the others hear who do then, in order, whatever it holds; nobody hears himself',
    withState(async (state) => {
      await using store = await state.open()
      await using other = await state.open()
      assert.ok(store.topic !== undefined && other.topic !== undefined, 'a store that many share has a topic')
      assert.equal(await store.topic.heard(), false)
      const stop = new AbortController()
      const heard = other.topic.hear(stop.signal)[Symbol.asyncIterator]()
      const own = store.topic.hear(stop.signal)[Symbol.asyncIterator]()
      // From here on they hear.
      assert.equal((await own.next()).value, null)
      assert.deepEqual([await store.topic.heard(), await other.topic.heard()], [false, true])
      assert.equal((await heard.next()).value, null)
      const texts = ['a', '', `\0 é 🙂 \ud800 ${'long'.repeat(100_000)} end`, 'same'.repeat(8000), 'z']
      for (const text of texts) await store.topic.tell(text)
      await other.topic.tell('answer')
      for (const text of texts) assert.ok((await heard.next()).value === text, text.slice(0, 20))
      assert.equal((await own.next()).value, 'answer')
      assert.deepEqual([await store.topic.heard(), await other.topic.heard()], [true, true])
      stop.abort()
      for (const each of [heard, own]) for (let next = await each.next(); next.done !== true; next = await each.next());
      assert.deepEqual([await store.topic.heard(), await other.topic.heard()], [false, false])
    }),
  )

  test(
    'the project lock keeps nobody out, and each process has a name of its own for its leases',
    withState(async (state) => {
      await using first = await state.open()
      await using second = await state.open()
      await using _lock = await first.lock()
      await using _other = await second.lock()
      await first.leases.take('orders', first.holder, 1000, 500)
      await assert.rejects(
        second.leases.take('orders', second.holder, 1499, 500),
        (error) => error instanceof SyncError && error.code === 'LEASE_LOST',
      )
    }),
  )

  test(
    'a run is running as long as its lease, and interrupted when that has expired',
    withState(async (state) => {
      await using died = await state.open()
      await using observer = await state.open()
      await died.leases.take('orders', died.holder, Date.now(), 60_000)
      await died.runs.start({ id: 'r1', sync: 'orders', startedAt: 1000 })
      assert.equal((await observer.runs.get('r1'))?.status, 'running')
      const generation = await died.leases.take('orders', died.holder, Date.now() - 60_000, 59_000)
      assert.equal(generation, 2)
      await died.runs.start({ id: 'r2', sync: 'orders', startedAt: 1001 })
      assert.equal((await observer.runs.get('r2'))?.status, 'interrupted')
      assert.equal((await observer.runs.list({ status: 'interrupted', limit: 9 })).length, 2)
    }),
  )

  test(
    'a run whose lease somebody takes over is interrupted, whatever its worker says when it wakes up',
    withState(async (state) => {
      await using frozen = await state.open()
      await using other = await state.open()
      await frozen.leases.take('orders', frozen.holder, Date.now() - 70_000, 60_000)
      await frozen.runs.start({ id: 'r1', sync: 'orders', startedAt: 1000 })
      await other.leases.take('orders', other.holder, Date.now(), 60_000)
      await other.runs.start({ id: 'r2', sync: 'orders', startedAt: 2000 })
      assert.equal((await other.runs.get('r1'))?.status, 'interrupted')
      assert.equal((await other.runs.get('r2'))?.status, 'running')
      await frozen.runs.finish(record('r1', { status: 'succeeded' }))
      assert.equal((await other.runs.get('r1'))?.status, 'interrupted')
    }),
  )
}

function runTests(withState: WithState): void {
  test(
    'a run is kept as it was finished',
    withState(async (state) => {
      await using store = await state.open()
      await store.leases.take('orders', store.holder, Date.now(), 60_000)
      await store.runs.start({ id: 'r1', sync: 'orders', startedAt: 1000 })
      assert.equal((await store.runs.get('r1'))?.status, 'running')
      const error = { code: 'CONNECTION_LOST', message: 'the server went away', hint: 'run it again' }
      const finished = record('r1', {
        status: 'failed',
        read: 5,
        inserted: 3,
        rejected: 2,
        lossy: 1,
        durationMs: 40,
        error,
      })
      await store.runs.finish(finished)
      assert.deepEqual(await store.runs.get('r1'), finished)
      assert.equal(await store.runs.get('r2'), null)
    }),
  )

  test(
    'runs are listed newest first, by sync, by status, and only the latest of each sync',
    withState(async (state) => {
      await using store = await state.open()
      await finish(store, record('r1', { sync: 'a' }))
      await finish(store, record('r2', { sync: 'b', status: 'failed' }))
      await finish(store, record('r3', { sync: 'a', status: 'held', heldDeletes: 7 }))
      const ids = async (filter: Omit<Parameters<Store['runs']['list']>[0], 'limit'>, limit = 10) =>
        (await store.runs.list({ ...filter, limit })).map((run) => run.id)
      assert.deepEqual(await ids({}), ['r3', 'r2', 'r1'])
      assert.deepEqual(await ids({}, 2), ['r3', 'r2'])
      assert.deepEqual(await ids({ sync: 'a' }), ['r3', 'r1'])
      assert.deepEqual(await ids({ before: 'r3' }), ['r2', 'r1'])
      assert.deepEqual(await ids({ sync: 'a', before: 'r3' }), ['r1'])
      assert.deepEqual(await ids({ before: 'r1' }), [])
      assert.deepEqual(await ids({ sync: 'x' }), [])
      assert.deepEqual(await ids({ among: ['a', 'x'] }), ['r3', 'r1'])
      assert.deepEqual(await ids({ among: ['a', 'b'], before: 'r3' }, 1), ['r2'])
      assert.deepEqual(await ids({ among: ['a', 'b'], status: 'failed' }), ['r2'])
      assert.deepEqual(await ids({ sync: 'b', among: ['a'] }), [])
      assert.deepEqual(await ids({ among: [] }), [])
      await finish(store, record('r4', { sync: 'a_b/x' }))
      await finish(store, record('r5', { sync: 'a_b' }))
      await finish(store, record('r6', { sync: 'a1b/x' }))
      assert.deepEqual(await ids({ sync: 'a_b' }), ['r5', 'r4'], 'a pattern means all it expanded to')
      assert.deepEqual(await ids({ sync: 'a' }), ['r3', 'r1'])
      assert.deepEqual(await ids({ status: 'failed' }), ['r2'])
      assert.deepEqual(await ids({ latest: true }), ['r6', 'r5', 'r4', 'r3', 'r2'])
      assert.deepEqual(await ids({ latest: true, status: 'succeeded' }), ['r6', 'r5', 'r4', 'r1'])
    }),
  )
}

function releaseTests(withState: WithState): void {
  const held = (id: string, heldDeletes = 100) => record(id, { status: 'held', heldDeletes })

  test(
    'a release allows the count that was shown, from the moment it is given',
    withState(async (state) => {
      await using store = await state.open()
      await finish(store, held('r1'))
      assert.equal(await store.runs.released('orders'), null)
      const run = await store.runs.release('r1', 5000)
      assert.deepEqual([run.heldDeletes, run.releasedAt], [100, 5000])
      assert.equal(await store.runs.released('orders'), 100)
      assert.equal(await store.runs.released('others'), null)
      assert.equal((await store.runs.get('r1'))?.releasedAt, 5000)
    }),
  )

  test(
    'a later run that did its work, or was held again, uses the release up',
    withState(async (state) => {
      for (const [index, using] of [
        { status: 'succeeded' },
        { status: 'held', heldDeletes: 300 },
        { status: 'failed', deleted: 100 },
      ].entries()) {
        await using store = await state.open()
        await finish(store, held(`held${index}`))
        await store.runs.release(`held${index}`, 5000)
        await finish(store, record(`using${index}`, using as Partial<RunRecord>))
        assert.equal(await store.runs.released('orders'), null, JSON.stringify(using))
      }
    }),
  )

  test(
    'a run that failed before it deleted anything, or that had begun before the release, leaves it standing',
    withState(async (state) => {
      await using store = await state.open()
      await finish(store, held('r1'))
      await store.runs.start({ id: 'r2', sync: 'orders', startedAt: 2000 })
      await store.runs.release('r1', 5000)
      await store.runs.finish(held('r2'))
      await finish(store, record('r3', { status: 'failed' }))
      await finish(store, record('r4', { status: 'interrupted' }))
      assert.equal(await store.runs.released('orders'), 100)
    }),
  )

  test(
    'a run of which nothing is held any more can’t be released, and what is held now is named',
    withState(async (state) => {
      await using store = await state.open()
      await finish(store, held('r1'))
      await finish(store, held('r2'))
      await finish(store, record('r3', { status: 'failed' }))
      await store.runs.release('r1', 5000)
      assert.equal(await store.runs.released('orders'), 100)
      await finish(store, held('r4', 7))
      const refused = async (id: string) => {
        const error = await store.runs.release(id, 6000).catch((thrown: unknown) => thrown)
        assert.ok(error instanceof SyncError && error.code === 'GUARD_HELD')
        assert.match(error.message, /held any more/)
        return error.hint
      }
      assert.match((await refused('r1')) ?? '', /release r4$/)
      await store.runs.release('r4', 7000)
      await finish(store, record('r5', { deleted: 7 }))
      assert.match((await refused('r4')) ?? '', /status/)
      await refused('r2')
      assert.equal(await store.runs.released('orders'), null)
    }),
  )

  test(
    'only a held run can be released',
    withState(async (state) => {
      await using store = await state.open()
      await finish(store, record('r1', {}))
      await assert.rejects(
        store.runs.release('r1', 1),
        (error) => error instanceof SyncError && error.code === 'GUARD_HELD',
      )
      await assert.rejects(
        store.runs.release('none', 1),
        (error) => error instanceof SyncError && error.code === 'RUN_UNKNOWN',
      )
    }),
  )
}

function leaseTests(withState: WithState): void {
  test(
    'generations only grow, and only the newest can be renewed (hazard 24)',
    withState(async (state) => {
      await using store = await state.open()
      const first = await store.leases.take('orders', 'a', 1000, 500)
      assert.equal(await store.leases.renew('orders', first, 1200, 500), true)
      const second = await store.leases.take('orders', 'b', 1701, 500)
      assert.ok(second > first)
      assert.equal(await store.leases.renew('orders', first, 1702, 500), false)
      assert.equal(await store.leases.renew('orders', second, 1702, 500), true)
    }),
  )

  test(
    'a lease that has not expired is refused to others, and can be taken again by its holder',
    withState(async (state) => {
      await using store = await state.open()
      await using other = await state.open()
      await store.leases.take('orders', 'a', 1000, 500)
      await assert.rejects(
        other.leases.take('orders', 'b', 1499, 500),
        (error) => error instanceof SyncError && error.code === 'LEASE_LOST',
      )
      await store.leases.take('orders', 'a', 1400, 500)
      await other.leases.take('customers', 'b', 1400, 500)
    }),
  )

  test(
    'a freed lease is there for the next, and freeing an old one changes nothing',
    withState(async (state) => {
      await using store = await state.open()
      const first = await store.leases.take('orders', 'a', 1000, 500)
      await store.leases.free('orders', first)
      assert.equal(await store.leases.renew('orders', first, 1001, 500), false)
      const second = await store.leases.take('orders', 'b', 1001, 500)
      await store.leases.free('orders', first)
      assert.equal(await store.leases.renew('orders', second, 1002, 500), true)
    }),
  )
}

function record(id: string, over: Partial<RunRecord>): RunRecord {
  return {
    ...zeroCounts,
    id,
    sync: 'orders',
    status: 'succeeded',
    startedAt: 1000,
    durationMs: 10,
    error: null,
    heldDeletes: null,
    releasedAt: null,
    ...over,
  }
}

async function finish(store: Store, run: RunRecord): Promise<void> {
  await store.runs.start(run)
  await store.runs.finish(run)
}
