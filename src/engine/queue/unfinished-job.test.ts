import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EngineEvent } from '../../core/event.ts'
import { openMemoryStore } from '../../store/sqlite/store.ts'
import { ManualClock } from '../../testing/manual-clock.ts'
import { Events } from '../observe/events.ts'
import { unfinished } from './unfinished-job.ts'

const LEASE_MS = 500

test('a job that never ends waits longer and longer, and is failed by name after the fifth time, which history tells', async () => {
  const store = openMemoryStore()
  const lines: string[] = []
  const told: EngineEvent[] = []
  const events = new Events(() => {})
  events.subscribe((event) => told.push(event))
  const clock = new ManualClock(0)
  const options = { runs: store.runs, events, clock, random: Math.random, log: (line: string) => lines.push(line) }
  await store.jobs.enqueue({ sync: 'orders', priority: 'default', reason: 'command', dueMs: 0, attempt: 1 }, 0)
  const take = async () => {
    const [claim = assert.fail()] = await store.jobs.claim({ worker: 'w', leaseMs: LEASE_MS, limit: 1 }, clock.now())
    return claim
  }
  const waits: number[] = []
  for (;;) {
    assert.equal((await take()).takeovers, 0)
    // Nobody is there any more to say how it ended.
    await clock.advance(LEASE_MS)
    const claim = await take()
    const result = await unfinished(claim, options)
    if (result.kind === 'postponed') {
      waits.push(result.untilMs - clock.now())
      await store.jobs.postpone(claim, result.untilMs)
      await clock.advance(result.untilMs - clock.now())
      continue
    }
    assert.deepEqual([result.kind, 'status' in result && result.status], ['ended', 'failed'])
    break
  }
  assert.deepEqual(waits, [2000, 8000, 32_000, 128_000])
  const [run] = await store.runs.list({ sync: 'orders', limit: 1 })
  assert.deepEqual([run?.status, run?.error?.code], ['failed', 'JOB_UNFINISHED'])
  assert.match(run?.error?.message ?? '', /job 1 of orders did not end.*5 times/)
  assert.equal(lines.length, 5)
  assert.deepEqual(
    told.map(({ event }) => event),
    ['run.started', 'sync.started', 'run.finished', 'run.failed'],
  )
})
