/** The contract of the queue, as tests. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SyncError } from '../core/error.ts'
import type { Priority } from '../core/job.ts'
import type { Claim, JobOutcome, JobRequest, JobStore } from '../store/jobs.ts'
import type { WithState } from './store-state.ts'

export function jobTests(withState: WithState): void {
  enqueueTests(withState)
  claimTests(withState)
  endTests(withState)
  takeOverTests(withState)
}

function enqueueTests(withState: WithState): void {
  test(
    'a sync has one queued job: asking again makes it as urgent and as soon as the more urgent and sooner of both',
    withState(async (state) => {
      await using store = await state.open()
      await using other = await state.open()
      const first = await store.jobs.enqueue(request('orders', { priority: 'low', dueMs: 5000 }), 1000)
      const second = await other.jobs.enqueue(request('orders', { priority: 'high', dueMs: 2000 }), 1001)
      assert.equal(second.id, first.id)
      assert.deepEqual([second.priority, second.dueAt, second.queuedAt], ['high', 2000, 1000])
      const third = await store.jobs.enqueue(request('orders', { priority: 'low', dueMs: 9000 }), 1002)
      assert.deepEqual([third.id, third.priority, third.dueAt], [first.id, 'high', 2000])
      assert.deepEqual(await store.jobs.count(), { queued: 1, running: 0 })
    }),
  )

  test(
    'who asked is kept with a job and its next try; where several ask it is the first, and nobody where one of them was nobody',
    withState(async (state) => {
      await using store = await state.open()
      const [ada, bo] = ['ada', 'bo'].map((name) => ({ id: `id-${name}`, name }))
      const ask = async (sync: string, ...keys: readonly (typeof ada | null)[]) => {
        const jobs = await Array.fromAsync(keys, (key = null) => store.jobs.enqueue(request(sync, { key }), 1000))
        return jobs.map(({ key }) => key?.name ?? null)
      }
      assert.deepEqual(await ask('one', ada), ['ada'])
      assert.deepEqual(await ask('two', ada, bo), ['ada', 'ada'])
      assert.deepEqual(await ask('scheduled', null, ada), [null, null])
      assert.deepEqual(await ask('overtaken', ada, null, bo), ['ada', null, null])
      const claims = await take(store.jobs, 1000)
      const one = claims.find(({ sync }) => sync === 'one') ?? assert.fail()
      assert.deepEqual(one.job.key, ada)
      const retry = request('one', { reason: 'retry', key: one.job.key })
      await store.jobs.finish(one, { ...succeeded, status: 'failed' }, retry, 1100)
      assert.deepEqual((await take(store.jobs, 1200))[0]?.job.key, ada)

      // Given back, it gives way to who asked meanwhile.
      await ask('two', bo)
      await ask('scheduled', bo)
      for (const claim of claims.filter(({ sync }) => ['two', 'scheduled'].includes(sync)))
        await store.jobs.postpone(claim, 1300)
      const again = (await take(store.jobs, 1300)).map(({ sync, job }) => [sync, job.key?.name ?? null])
      assert.deepEqual(Object.fromEntries(again), { two: 'bo', scheduled: null })
    }),
  )

  test(
    'while one runs, the next may be queued, and is not claimed before that one has ended',
    withState(async (state) => {
      await using store = await state.open()
      const [running] = await claim(store.jobs, await queued(store.jobs, 'orders'))
      assert.ok(running)
      const next = await store.jobs.enqueue(request('orders'), 1100)
      assert.notEqual(next.id, running.id)
      assert.deepEqual(await take(store.jobs, 1200), [])
      await store.jobs.finish(running, succeeded, null, 1300)
      assert.deepEqual(
        (await take(store.jobs, 1300)).map(({ id }) => id),
        [next.id],
      )
    }),
  )

  test(
    'what is not due is not claimed, and the store says when it will be',
    withState(async (state) => {
      await using store = await state.open()
      assert.equal(await store.jobs.nextDue(), null)
      await store.jobs.enqueue(request('orders', { dueMs: 5000 }), 1000)
      assert.equal(await store.jobs.nextDue(), 5000)
      assert.deepEqual(await take(store.jobs, 4999), [])
      assert.equal((await take(store.jobs, 5000)).length, 1)
    }),
  )
}

function claimTests(withState: WithState): void {
  test(
    'the most urgent comes first, and a low one that has waited long comes before a high one that has not',
    withState(async (state) => {
      await using store = await state.open()
      const order: readonly (readonly [sync: string, priority: Priority, dueMs: number])[] = [
        ['waiting', 'low', 0],
        ['low', 'low', 1_000_000],
        ['default', 'default', 1_000_000],
        ['high', 'high', 1_000_000],
      ]
      for (const [sync, priority, dueMs] of order) await store.jobs.enqueue(request(sync, { priority, dueMs }), dueMs)
      const claimed = await take(store.jobs, 1_000_000)
      assert.deepEqual(
        claimed.map(({ sync }) => sync),
        ['waiting', 'high', 'default', 'low'],
      )
    }),
  )

  test(
    'a job is claimed by one of many who ask at the same time',
    withState(async (state) => {
      const stores = await Promise.all(Array.from({ length: 4 }, () => state.open()))
      for (let sync = 0; sync < 40; sync++) await stores[0]?.jobs.enqueue(request(`sync${sync}`), 1000)
      const taken: Claim[] = []
      for (let round = 0; round < 8; round++) {
        const claims = await Promise.all(
          stores.map((store, worker) => store.jobs.claim({ worker: `w${worker}`, leaseMs: 500, limit: 2 }, 1000)),
        )
        taken.push(...claims.flat())
      }
      for (const store of stores) await store[Symbol.asyncDispose]()
      assert.equal(taken.length, 40)
      assert.equal(new Set(taken.map(({ sync }) => sync)).size, 40)
    }),
  )

  test(
    'nobody claims what somebody runs without the queue',
    withState(async (state) => {
      await using store = await state.open()
      const generation = await store.leases.take('orders', 'command', 1000, 500)
      await store.jobs.enqueue(request('orders'), 1000)
      assert.deepEqual(await take(store.jobs, 1400), [])
      await store.leases.free('orders', generation)
      const [claimed] = await take(store.jobs, 1400)
      assert.ok(claimed !== undefined && claimed.generation > generation)
      await assert.rejects(store.leases.take('orders', 'command', 1450, 500), { code: 'LEASE_LOST' })
    }),
  )

  test(
    'a job is given back unrun: it is no further attempt, and gives way to one that was queued meanwhile',
    withState(async (state) => {
      await using store = await state.open()
      const [first] = await claim(store.jobs, await queued(store.jobs, 'orders'))
      assert.ok(first)
      assert.equal(await store.jobs.postpone(first, 3000), true)
      assert.equal(await store.jobs.postpone(first, 3000), false)
      const waiting = await store.jobs.get(first.id)
      assert.deepEqual([waiting?.state.status, waiting?.attempt, waiting?.dueAt], ['queued', 1, 3000])
      const [again] = await take(store.jobs, 3000)
      assert.ok(again)
      const asked = await store.jobs.enqueue(request('orders', { dueMs: 9000 }), 3000)
      await store.jobs.postpone(again, 4000)
      assert.equal(await store.jobs.get(first.id), null)
      assert.equal((await store.jobs.get(asked.id))?.dueAt, 4000)
    }),
  )
}

function endTests(withState: WithState): void {
  test(
    'how a job ended is kept, and what follows is queued with it',
    withState(async (state) => {
      await using store = await state.open()
      const [job] = await claim(store.jobs, await queued(store.jobs, 'orders'))
      assert.ok(job)
      const error = { code: 'CONNECTION_LOST', message: 'gone', hint: null }
      const retry = request('orders', { reason: 'retry', attempt: 2, dueMs: 4000 })
      assert.equal((await store.jobs.finish(job, { status: 'failed', run: 'r1', error }, retry, 1500)) !== null, true)
      const ended = await store.jobs.get(job.id)
      assert.deepEqual(ended?.state, { status: 'failed', startedAt: 1000, endedAt: 1500, run: 'r1', error })
      const [next] = await store.jobs.list({ status: 'queued', limit: 10 })
      assert.deepEqual([next?.sync, next?.reason, next?.attempt, next?.dueAt], ['orders', 'retry', 2, 4000])
    }),
  )

  test(
    'of ended jobs the last are kept, newest first, and can be paged through',
    withState(async (state) => {
      await using store = await state.open()
      for (let round = 0; round < 40; round++) {
        const [job] = await claim(store.jobs, await queued(store.jobs, 'orders'))
        assert.ok(job)
        await store.jobs.finish(job, succeeded, null, 1000)
      }
      const all = await store.jobs.list({ sync: 'orders', limit: 100 })
      assert.ok(all.length >= 10 && all.length <= 30, String(all.length))
      assert.deepEqual(await store.jobs.list({ among: ['orders', 'x'], limit: 100 }), all)
      assert.deepEqual(await store.jobs.list({ among: ['x'], limit: 100 }), [])
      assert.deepEqual(await store.jobs.list({ among: ['orders'], status: 'queued', limit: 100 }), [])
      const page = await store.jobs.list({ limit: 4, ...(all[3] === undefined ? {} : { before: all[3].id }) })
      assert.deepEqual(
        page.map(({ id }) => id),
        all.slice(4, 8).map(({ id }) => id),
      )
    }),
  )

  test(
    'a queued job that is cancelled ends, a running one is told so by its heartbeat, an ended one can’t be',
    withState(async (state) => {
      await using store = await state.open()
      const queuedId = await queued(store.jobs, 'orders')
      assert.equal((await store.jobs.cancel(queuedId, 1200)).state.status, 'cancelled')
      assert.deepEqual(await take(store.jobs, 1300), [])
      await refuses(store.jobs.cancel(queuedId, 1300), 'JOB_ENDED')
      await refuses(store.jobs.cancel('nonsense', 1300), 'JOB_UNKNOWN')
      await refuses(store.jobs.cancel('99999', 1300), 'JOB_UNKNOWN')
      const [running] = await claim(store.jobs, await queued(store.jobs, 'orders'))
      assert.ok(running)
      assert.deepEqual(await store.jobs.heartbeat([running], 1400, 500), { lost: [], cancelled: [] })
      const { state: told } = await store.jobs.cancel(running.id, 1400)
      assert.ok(told.status === 'running' && told.cancelling)
      const beat = await store.jobs.heartbeat([running], 1450, 500)
      assert.deepEqual(
        beat.cancelled.map(({ id }) => id),
        [running.id],
      )
    }),
  )
}

const DAYS = 2 * 24 * 3_600_000

function takeOverTests(withState: WithState): void {
  test(
    'a lease, and a job that waits, until a time that a clock wrote which was two days ahead keep nobody waiting',
    withState(async (state) => {
      await using store = await state.open()
      await store.jobs.enqueue(request('waits', { dueMs: 1000 + DAYS }), 1000 + DAYS)
      await store.jobs.enqueue(request('runs', { dueMs: 1000 }), 1000)
      assert.deepEqual(
        (await store.jobs.claim({ worker: 'v', leaseMs: 500, limit: 1 }, 1000 + DAYS)).map(({ sync }) => sync),
        ['runs'],
      )
      const claims = await take(store.jobs, 2000)
      assert.deepEqual(claims.map(({ sync }) => sync).sort(), ['runs', 'waits'])
      await store.leases.take('alone', 'a', 1000 + DAYS, 60_000)
      assert.equal(await store.leases.take('alone', 'b', 2000, 60_000), 2)
      await assert.rejects(store.leases.take('alone', 'c', 2001, 60_000), { code: 'LEASE_LOST' })
    }),
  )

  test(
    'hazard 24: a job whose lease expired is taken over, and what its first worker says then is not heard',
    withState(async (state) => {
      await using store = await state.open()
      await using other = await state.open()
      const [first] = await claim(store.jobs, await queued(store.jobs, 'orders'))
      assert.ok(first)
      assert.deepEqual(await take(other.jobs, 1499), [])
      const [second] = await take(other.jobs, 1500)
      assert.ok(second !== undefined && second.id === first.id && second.generation > first.generation)
      assert.equal(second.job.attempt, 2)
      assert.equal(await store.jobs.finish(first, succeeded, request('other'), 1501), null)
      assert.equal(await store.jobs.postpone(first, 1501), false)
      const beat = await store.jobs.heartbeat([first], 1501, 500)
      assert.deepEqual(
        beat.lost.map(({ id }) => id),
        [first.id],
      )
      assert.equal((await store.jobs.get(first.id))?.state.status, 'running')
      assert.deepEqual(await store.jobs.list({ sync: 'other', limit: 1 }), [])
      assert.equal((await other.jobs.finish(second, succeeded, null, 1502)) !== null, true)
    }),
  )

  test(
    'a job that did not end says how often, and waits as long as it was put off, whoever asks for its sync meanwhile',
    withState(async (state) => {
      await using store = await state.open()
      const [first] = await claim(store.jobs, await queued(store.jobs, 'orders'))
      assert.equal(first?.takeovers, 0)
      const [second] = await take(store.jobs, 1500)
      assert.ok(second)
      assert.equal(second.takeovers, 1)
      // Asked for before and after it is put off.
      await store.jobs.enqueue(request('orders', { reason: 'schedule' }), 1500)
      await store.jobs.postpone(second, 9000)
      const asked = await store.jobs.enqueue(request('orders', { priority: 'high' }), 1600)
      assert.deepEqual([asked.dueAt, asked.state.status], [9000, 'queued'])
      assert.equal(await store.jobs.nextDue(), 9000)
      assert.deepEqual(await take(store.jobs, 8999), [])
      const [third] = await take(store.jobs, 9000)
      assert.equal(third?.takeovers, 0)
      const [fourth] = await take(store.jobs, 9500)
      assert.ok(fourth)
      assert.equal(fourth.takeovers, 2)
      await store.jobs.finish(fourth, succeeded, null, 9501)
      const [next] = await claim(store.jobs, await queued(store.jobs, 'orders'))
      const [last] = await take(store.jobs, 20_000)
      assert.deepEqual([next?.takeovers, last?.takeovers], [0, 1])
    }),
  )

  test(
    'a job that is cancelled is run by nobody else: not when its worker died, and not when he gave it back',
    withState(async (state) => {
      await using store = await state.open()
      const give: readonly ((job: Claim) => Promise<unknown>)[] = [
        async () => {},
        async (job) => await store.jobs.postpone(job, 1500),
      ]
      for (const giveUp of give) {
        const [job] = await claim(store.jobs, await queued(store.jobs, 'orders'))
        assert.ok(job)
        await store.jobs.cancel(job.id, 1400)
        await giveUp(job)
        assert.deepEqual(await take(store.jobs, 1500), [])
        const { status, ...rest } = (await store.jobs.get(job.id))?.state ?? { status: null }
        assert.deepEqual([status, 'endedAt' in rest && rest.endedAt], ['cancelled', 1500])
        assert.deepEqual(await store.jobs.count(), { queued: 0, running: 0 })
        assert.equal(await store.jobs.nextDue(), null)
        const [next] = await claim(store.jobs, await queued(store.jobs, 'orders'))
        assert.ok(next !== undefined && next.id !== job.id && next.generation > job.generation)
        await store.jobs.finish(next, succeeded, null, 1000)
      }
    }),
  )

  test(
    'a cancelled job that was given back runs when it is asked for again',
    withState(async (state) => {
      await using store = await state.open()
      const [job] = await claim(store.jobs, await queued(store.jobs, 'orders'))
      assert.ok(job)
      await store.jobs.cancel(job.id, 1400)
      await store.jobs.postpone(job, 1500)
      await store.jobs.enqueue(request('orders'), 1500)
      const [again] = await take(store.jobs, 1500)
      assert.ok(again)
      assert.deepEqual((await store.jobs.heartbeat([again], 1600, 500)).cancelled, [])
    }),
  )

  test(
    'a heartbeat keeps the lease, and the store says when the next one may be taken over',
    withState(async (state) => {
      await using store = await state.open()
      const [job] = await claim(store.jobs, await queued(store.jobs, 'orders'))
      assert.ok(job)
      assert.equal(await store.jobs.nextDue(), 1500)
      await store.jobs.heartbeat([job], 1400, 500)
      assert.equal(await store.jobs.nextDue(), 1900)
      assert.deepEqual(await take(store.jobs, 1899), [])
      assert.equal((await take(store.jobs, 1900)).length, 1)
    }),
  )
}

const succeeded: JobOutcome = { status: 'succeeded', run: 'r', error: null }

export function request(sync: string, over: Partial<JobRequest> = {}): JobRequest {
  return { sync, priority: 'default', reason: 'command', dueMs: 0, attempt: 1, ...over }
}

async function queued(jobs: JobStore, sync: string): Promise<string> {
  return (await jobs.enqueue(request(sync), 1000)).id
}

async function take(jobs: JobStore, nowMs: number): Promise<readonly Claim[]> {
  return await jobs.claim({ worker: 'w', leaseMs: 500, limit: 100 }, nowMs)
}

async function claim(jobs: JobStore, id: string): Promise<readonly Claim[]> {
  return (await take(jobs, 1000)).filter((claimed) => claimed.id === id)
}

async function refuses(call: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(call, (error) => error instanceof SyncError && error.code === code)
}
