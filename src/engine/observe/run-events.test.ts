import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SyncError } from '../../core/error.ts'
import { failureOf, zeroCounts } from '../../core/run.ts'
import { openMemoryStore } from '../../store/sqlite/store.ts'
import { Events } from './events.ts'
import { collectMetrics } from './metrics.ts'
import { finishedEvent, jobEventsOf, newRunId } from './run-events.ts'

test('point 9: run ids of one millisecond are all different, and those of the next come after them', () => {
  const made = (now: number) => {
    const clock = { now: () => now, sleep: async () => {} }
    const context = { clock, random: Math.random, signal: new AbortController().signal, log: () => {} }
    return Array.from({ length: 50_000 }, () => newRunId({ context }))
  }
  const [first, next] = [made(1_796_000_000_000), made(1_796_000_000_001)]
  assert.equal(new Set([...first, ...next]).size, 100_000)
  assert.ok((first.toSorted().at(-1) ?? '') < (next.toSorted()[0] ?? ''))
})

test('a run that somebody stopped is told as interrupted, as history has it, and is counted as no failure', async () => {
  const error = failureOf(new SyncError('INTERRUPTED', 'the run was stopped'))
  const event = finishedEvent({ id: 'r1', sync: 'orders', status: 'interrupted', durationMs: 5, error }, zeroCounts)
  assert.ok(event.event === 'run.finished')
  assert.equal(event.status, 'interrupted')
  assert.deepEqual(jobEventsOf(event, 'j1'), [])
  const events = new Events(() => {})
  await using store = openMemoryStore()
  using metrics = collectMetrics(events, store, { onWait: () => () => {}, states: () => [] })
  events.emit(event)
  const { text } = await metrics.read()
  assert.match(text, /syncline_runs_total\{sync="orders",status="interrupted"\} 1/)
  assert.doesNotMatch(text, /syncline_errors_total\{/)
})
