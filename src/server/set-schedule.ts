/** When a sync runs, as a call says, until another takes it back. */
import { SyncError } from '../core/error.ts'
import { firstInstant, type Schedule } from '../core/schedule.ts'
import { systemClock } from '../engine/clock.ts'
import type { KnownSync, Operations } from '../engine/operations.ts'
import type { ApiKey } from '../engine/secrets/api-keys.ts'
import { announce } from './announce.ts'

/** Returns when it is first due; null: the clock does not make it due. */
export async function setSchedule(
  operations: Operations,
  { sync, origin, project }: KnownSync,
  schedule: Schedule,
  key: ApiKey | null,
): Promise<number | null> {
  const firstMs = firstInstant(schedule, systemClock.now())
  // What its connection says is taken up again at every start.
  if (origin === 'connection') await operations.connected.setSchedule(sync.id, schedule)
  else await operations.store.schedules.put({ sync: sync.id, schedule, origin: 'api' }, firstMs)
  operations.service.wake()
  announce(operations, key, { what: 'schedule', name: sync.id, change: 'changed', project })
  return firstMs
}

/** What its definition says counts again. FORBIDDEN: its connection says it. */
export async function takeScheduleBack(
  operations: Operations,
  { sync, origin, project }: KnownSync,
  key: ApiKey | null,
): Promise<void> {
  const { schedules } = operations.store
  if (origin === 'connection')
    throw new SyncError('FORBIDDEN', `the schedule of "${sync.id}" is its connection's`, {
      hint: 'Change the `schedules` of the connection.',
    })
  const before = await schedules.get(sync.id)
  if (before?.origin !== 'api') return
  await schedules.remove(sync.id)
  // What is paused is not due for a moment either.
  const firstMs = before.paused ? null : firstInstant(sync.schedule, systemClock.now())
  await schedules.put({ sync: sync.id, schedule: sync.schedule, origin: 'config' }, firstMs)
  if (before.paused) await schedules.pause(sync.id, true, null)
  operations.service.wake()
  announce(operations, key, { what: 'schedule', name: sync.id, change: 'changed', project })
}
