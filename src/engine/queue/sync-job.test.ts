import assert from 'node:assert/strict'
import { test } from 'node:test'
import { memoryConnector } from '../../connectors/memory.ts'
import { MemorySystem } from '../../connectors/memory-system.ts'
import { SyncError } from '../../core/error.ts'
import { defaults, type Sync } from '../../core/sync.ts'
import { openMemoryStore } from '../../store/sqlite/store.ts'
import { testContext } from '../../testing/connector-harness.ts'
import { ManualClock, settle } from '../../testing/manual-clock.ts'
import { Breaker } from '../calls/circuit-breaker.ts'
import { ConnectionPool, type Opener } from '../connections/connection-pool.ts'
import { Events } from '../observe/events.ts'
import { Mutex } from './mutex.ts'
import { Slots } from './project-pool.ts'
import { Shares } from './project-shares.ts'
import { executeSyncJob } from './sync-job.ts'

const sync: Sync = {
  ...{ id: 'orders', fields: null, where: null, key: null, cursor: null, mode: 'auto', deletes: 'propagate' },
  ...defaults,
  adopt: false,
  from: { connection: 'left', collection: 'orders' },
  to: { connection: 'right', collection: 'orders' },
  timeoutMs: 1000,
}

/** A queue with a job of each of these syncs, and what executes them. */
async function tasks(clock: ManualClock, left: Opener, ids: readonly string[], breaker = new Breaker()) {
  const store = openMemoryStore()
  const right: Opener = { open: (context) => memoryConnector.open({ system: new MemorySystem() }, context) }
  const slots = new Slots((signal) => {
    const context = { ...testContext(), clock, signal }
    const pool = new ConnectionPool(new Map(Object.entries({ left, right })), context)
    return {
      ...{ id: 'p', store, context, unreachable: new Set<string>(), emit: () => {} },
      connection: (name) => pool.get(name),
      reconnect: (name) => pool.close(name),
      [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
    }
  }, clock)
  for (const id of ids)
    await store.jobs.enqueue({ sync: id, priority: 'default', reason: 'command', dueMs: 0, attempt: 1 }, 0)
  const claims = await store.jobs.claim({ worker: 'w', leaseMs: 60_000, limit: ids.length }, 0)
  const options = {
    definitions: {
      find: async (id: string) => ({ ...sync, id }),
      exclusive: () => [],
      lasting: () => true,
      project: () => null,
    },
    ...{
      slots,
      mutex: new Mutex(),
      shares: new Shares(4),
      breaker,
      events: new Events(() => {}),
      clock,
      runs: store.runs,
      random: Math.random,
      log: () => {},
    },
  }
  return claims.map((claim) => executeSyncJob(claim, new AbortController().signal, options))
}

test('a run that is given up while a connection opens and does not come back gives its hand back', async () => {
  const clock = new ManualClock(0)
  const told: SyncError[] = []
  const left: Opener = {
    open: ({ signal }) => {
      signal.addEventListener('abort', () => told.push(signal.reason))
      return new Promise(() => {})
    },
  }
  const [task = assert.fail()] = await tasks(clock, left, ['orders'])
  let result: unknown = null
  task.then((ended) => {
    result = ended
  })
  await settle()
  await clock.advance(1000)
  assert.deepEqual([result, told.map(({ code }) => code)], [null, ['TIMED_OUT']])
  await clock.advance(1000)
  await settle()
  assert.match(JSON.stringify(result), /"kind":"ended","status":"failed".*TIMED_OUT/)
})

test('a job looks again after some seconds, however long its connection is left alone: it may be mended meanwhile', async () => {
  const clock = new ManualClock(1000)
  const breaker = new Breaker()
  let tries = new Map<string, number>()
  for (let times = 0; times < 12; times++) {
    await breaker.failed('left', tries, 1000)
    tries = new Map([['left', times + 1]])
  }
  assert.equal(await breaker.readyAt(['left'], 1000), 301_000)
  const never: Opener = { open: () => assert.fail('it is left alone') }
  const [task = assert.fail()] = await tasks(clock, never, ['orders'], breaker)
  assert.deepEqual(await task, { kind: 'postponed', untilMs: 16_000 })
})

test('a try that is stopped before it learned anything leaves it to the next', async () => {
  const clock = new ManualClock(6000)
  const breaker = new Breaker()
  for (let times = 0; times < 3; times++) await breaker.failed('left', new Map(), 1000)
  const stopped: Opener = {
    open: async () => {
      throw new SyncError('INTERRUPTED', 'the run was stopped')
    },
  }
  const [task = assert.fail()] = await tasks(clock, stopped, ['orders'], breaker)
  assert.notEqual((await task).kind, 'postponed')
  assert.equal(await breaker.readyAt(['left'], 6000), 6000)
})

test('of jobs that begin together when a connection was left alone long enough, one tries; the others are put off', async () => {
  const clock = new ManualClock(6000)
  const breaker = new Breaker()
  for (let times = 0; times < 3; times++) await breaker.failed('left', new Map(), 1000)
  let opened = 0
  const left: Opener = {
    open: async () => {
      opened++
      throw new SyncError('AUTH_FAILED', 'not you')
    },
  }
  const results = await Promise.all(await tasks(clock, left, ['a', 'b', 'c'], breaker))
  assert.equal(opened, 1)
  assert.deepEqual(results.map((result) => (result.kind === 'postponed' ? result.untilMs : result.kind)).toSorted(), [
    11_000,
    11_000,
    'ended',
  ])
  assert.equal(await breaker.readyAt(['left'], 6000), 16_000)
})
