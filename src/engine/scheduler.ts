/** Puts syncs into the queue when their schedules are due. Any number of processes may do so on one store: each due instant is fired once. */
import type { Clock } from '../connectors/connector.ts'
import { asSyncError } from '../core/error.ts'
import type { Log } from '../core/log.ts'
import { nextInstant } from '../core/schedule.ts'
import type { JobRequest, ScheduleRecord } from '../store/jobs.ts'
import type { Store } from '../store/store.ts'
import { Bell } from './bell.ts'

/** Schedules that another process changed are seen this late at the latest. */
const LOOK_MS = 1000
/** Fired at one look. */
const AT_ONCE = 500

export interface SchedulerOptions {
  readonly store: Pick<Store, 'jobs' | 'schedules'>
  readonly clock: Clock
  /** After something was put into the queue. */
  readonly onFired: () => void
  readonly log: Log
}

export class Scheduler {
  readonly #options: SchedulerOptions
  readonly #bell = new Bell()

  constructor(options: SchedulerOptions) {
    this.#options = options
  }

  /** Schedules may have changed: saves waiting for the next look. */
  wake(): void {
    this.#bell.ring()
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    while (!signal.aborted) {
      const untilMs = await this.fireDue().catch((error: unknown) => this.#complain(error))
      await this.#bell.wait(clock, Math.min(untilMs, LOOK_MS), signal)
    }
  }

  /** Fires what is due now, and says how long nothing will be. */
  async fireDue(): Promise<number> {
    const { store, clock, onFired } = this.#options
    const now = clock.now()
    const due = await store.schedules.due(now, AT_ONCE)
    for (const record of due) await store.schedules.fire(record, nextOf(record, now), requestOf(record, now), now)
    if (due.length > 0) onFired()
    const next = await store.schedules.nextDue()
    return next === null ? LOOK_MS : Math.max(0, next - clock.now())
  }

  #complain(error: unknown): number {
    this.#options.log(`looking for what is due failed: ${asSyncError(error).message}`, 'error')
    return LOOK_MS
  }
}

function nextOf({ schedule, nextAt }: ScheduleRecord, nowMs: number): number | null {
  return nextInstant(schedule, nowMs, nextAt ?? nowMs)
}

function requestOf({ sync }: ScheduleRecord, nowMs: number): JobRequest {
  return { sync, priority: 'default', reason: 'schedule', dueMs: nowMs, attempt: 1 }
}
