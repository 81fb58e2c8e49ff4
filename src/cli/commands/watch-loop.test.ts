import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock, Collection, Connection } from '../../connectors/connector.ts'
import { SyncError } from '../../core/error.ts'
import { defaults, type Sync } from '../../core/sync.ts'
import type { Project } from '../../engine/project.ts'
import type { Store } from '../../store/store.ts'
import { Watch } from './watch-loop.ts'

const sync: Sync = {
  ...defaults,
  id: 'orders',
  from: { connection: 'shop', collection: 'orders' },
  to: { connection: 'warehouse', collection: 'orders' },
  fields: null,
  where: null,
  key: null,
  cursor: null,
  mode: 'auto',
  deletes: 'propagate',
  adopt: false,
  schedule: { kind: 'continuous', everyMs: 2000 },
}

type Status = 'succeeded' | 'failed' | 'held'

/** A watch over a clock that jumps to whatever is waited for; stops after `untilMs`. */
async function watchUntil(
  untilMs: number,
  status: (nowMs: number) => Status,
  options: { released?: (nowMs: number) => boolean; announceAtMs?: number } = {},
) {
  const stop = new AbortController()
  let nowMs = 0
  const clock: Clock = {
    now: () => nowMs,
    sleep: async (ms, signal) => {
      await new Promise((resolve) => setImmediate(resolve))
      signal.throwIfAborted()
      const announced = options.announceAtMs ?? Number.POSITIVE_INFINITY
      nowMs = nowMs < announced && announced < nowMs + ms ? announced : nowMs + ms
      if (nowMs >= untilMs) stop.abort(new SyncError('INTERRUPTED', 'interrupted'))
    },
  }
  async function* announcements(): AsyncIterable<void> {
    for (let announced = false; !stop.signal.aborted; await new Promise((resolve) => setImmediate(resolve))) {
      if (announced || nowMs < (options.announceAtMs ?? Number.POSITIVE_INFINITY)) continue
      announced = true
      yield
    }
  }
  const collection: Partial<Collection> = { watch: announcements }
  const connection: Partial<Connection> = { collection: async () => collection as Collection }
  const runs: Partial<Store['runs']> = { released: async () => (options.released?.(nowMs) === true ? 5 : null) }
  const project: Project = {
    id: 'p',
    store: { runs } as Store,
    context: { signal: stop.signal, clock, random: () => 0, log: () => {} },
    connection: async () => connection as Connection,
    reconnect: async () => {},
    unreachable: new Set(),
    emit: () => {},
  }
  const ranAt: number[] = []
  const run = async () => {
    ranAt.push(nowMs)
    return { status: status(nowMs) }
  }
  const watch = new Watch(project, run, async () => ({ syncs: [sync], failures: [], leftOut: [] }))
  assert.equal(await watch.start(), 1)
  await watch.run()
  return ranAt
}

test('a sync runs at once and then at its interval', async () => {
  assert.deepEqual(await watchUntil(7000, () => 'succeeded'), [0, 2000, 4000, 6000])
})

test('a failing sync is tried less and less often, and at its interval again once it works', async () => {
  const ranAt = await watchUntil(20_000, (nowMs) => (nowMs < 10_000 ? 'failed' : 'succeeded'))
  assert.deepEqual(ranAt, [0, 2000, 6000, 14_000, 16_000, 18_000])
})

test('a held sync waits for a release, and looks again once a minute', async () => {
  const waited = await watchUntil(70_000, () => 'held')
  assert.deepEqual(waited, [0, 60_000])
  const released = await watchUntil(15_000, (nowMs) => (nowMs < 9000 ? 'held' : 'succeeded'), {
    released: (nowMs) => nowMs > 9000,
  })
  assert.deepEqual(released.slice(0, 2), [0, 10_000])
})

test('an announced change runs the sync before its interval', async () => {
  const ranAt = await watchUntil(3000, () => 'succeeded', { announceAtMs: 700 })
  assert.equal(ranAt[0], 0)
  assert.ok((ranAt[1] ?? 0) >= 700 && (ranAt[1] ?? 0) < 1000, ranAt.join())
})
