import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemorySystem, memoryConnector } from '../connectors/memory.ts'
import type { SyncError } from '../core/error.ts'
import { defaults, type Sync } from '../core/sync.ts'
import { openMemoryStore } from '../store/sqlite/store.ts'
import { testContext } from '../testing/connector-harness.ts'
import { ManualClock, settle } from '../testing/manual-clock.ts'
import { Breaker } from './breaker.ts'
import { ConnectionPool, type Opener } from './connection-pool.ts'
import { Events } from './events.ts'
import { Mutex } from './mutex.ts'
import { Slots } from './slots.ts'
import { executeSyncJob } from './task.ts'

const sync: Sync = {
  ...{ id: 'orders', fields: null, where: null, key: null, cursor: null, mode: 'auto', deletes: 'propagate' },
  ...defaults,
  adopt: false,
  from: { connection: 'left', collection: 'orders' },
  to: { connection: 'right', collection: 'orders' },
  timeoutMs: 1000,
}

test('a run that is given up while a connection opens and does not come back gives its hand back', async () => {
  const clock = new ManualClock(0)
  const store = openMemoryStore()
  const told: SyncError[] = []
  const right: Opener = { open: (context) => memoryConnector.open({ system: new MemorySystem() }, context) }
  const left: Opener = {
    open: ({ signal }) => {
      signal.addEventListener('abort', () => told.push(signal.reason))
      return new Promise(() => {})
    },
  }
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
  await store.jobs.enqueue({ sync: 'orders', priority: 'default', reason: 'command', dueMs: 0, attempt: 1 }, 0)
  const [claim = assert.fail()] = await store.jobs.claim({ worker: 'w', leaseMs: 60_000, limit: 1 }, 0)
  let result: unknown = null
  executeSyncJob(claim, new AbortController().signal, {
    definitions: { find: async () => sync, exclusive: () => [], lasting: () => true },
    ...{ slots, mutex: new Mutex(), breaker: new Breaker(), events: new Events(() => {}), clock },
  }).then((ended) => {
    result = ended
  })
  await settle()
  await clock.advance(1000)
  assert.deepEqual([result, told.map(({ code }) => code)], [null, ['TIMED_OUT']])
  await clock.advance(1000)
  await settle()
  assert.match(JSON.stringify(result), /"kind":"ended","status":"failed".*TIMED_OUT/)
})
