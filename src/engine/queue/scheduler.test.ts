import assert from 'node:assert/strict'
import { test } from 'node:test'
import { firstInstant, nextInstant, parseSchedule, type Schedule } from '../../core/schedule.ts'
import { openMemoryStore } from '../../store/sqlite/store.ts'
import { ManualClock } from '../../testing/manual-clock.ts'
import { Scheduler } from './scheduler.ts'

const START = Date.UTC(2026, 10, 28, 12)
const DAYS = 2 * 24 * 3_600_000

test('point 47: a clock that was two days ahead for a moment puts no schedule off, and it is told', async () => {
  await using store = openMemoryStore()
  const clock = new ManualClock(START)
  const told: string[] = []
  const scheduler = new Scheduler({ store, clock, onFired: () => {}, log: (message) => told.push(message) })
  const schedules = { quarter: '15m', hourly: '0 * * * *', yearly: '0 0 1 1 *', weekly: '7d', manual: 'manual' }
  for (const [sync, text] of Object.entries(schedules)) {
    const schedule = parseSchedule(text) as Schedule
    await store.schedules.put({ sync, schedule, origin: 'config' }, firstInstant(schedule, START))
  }
  await scheduler.fireDue()
  clock.set(START + DAYS)
  await scheduler.fireDue()
  clock.set(START + 60_000)
  await scheduler.fireDue()
  for (const { sync, schedule, nextAt } of await store.schedules.list({})) {
    const latest = nextInstant(schedule, START + 60_000, START + 60_000)
    assert.ok(
      nextAt === latest || (nextAt !== null && latest !== null && nextAt < latest),
      `${sync}: ${nextAt} ${latest}`,
    )
  }
  assert.deepEqual(
    told.map((line) => line.split(' ')[0]).sort(),
    ['hourly', 'quarter', 'weekly'].filter((name) => told.some((line) => line.startsWith(name))),
  )
  assert.ok(told.some((line) => /^quarter was due at .*, which its schedule can't be: the clock was ahead$/.test(line)))
  clock.set(START + 60_000 + 900_000)
  const before = (await store.jobs.list({ sync: 'quarter', limit: 9 })).length
  await scheduler.fireDue()
  assert.ok((await store.schedules.get('quarter'))?.lastAt === START + 60_000 + 900_000, String(before))
})
