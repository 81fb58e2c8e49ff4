/** Puts syncs into the queue when their schedules are due. Any number of processes may do so on one store: each due instant is fired once. */
import type { Clock } from '../../connectors/connector.ts'
import { asSyncError } from '../../core/error.ts'
import type { Log } from '../../core/log.ts'
import { nextInstant, type Schedule } from '../../core/schedule.ts'
import type { JobRequest, ScheduleRecord } from '../../store/jobs.ts'
import type { Store } from '../../store/store.ts'
import { Bell } from '../wake-signal.ts'

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

/** Schedules that are due later than they can be are looked for this often, and whenever the clock goes back. */
const BOUND_MS = 600_000
/** What failed again and again is held back for up to this long. */
const HELD_MS = 300_000
/** Clocks are set right by less all the time. */
const SET_BACK_MS = 5_000

export class Scheduler {
  readonly #options: SchedulerOptions
  readonly #bell = new Bell()
  /** The clock when it was looked last, and when schedules were bounded. */
  #lookedMs = Number.NEGATIVE_INFINITY
  #boundedMs = Number.NEGATIVE_INFINITY

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
    if (now < this.#lookedMs - SET_BACK_MS || now >= this.#boundedMs + BOUND_MS) await this.#bound(now)
    this.#lookedMs = now
    const due = await store.schedules.due(now, AT_ONCE)
    for (const record of due) await store.schedules.fire(record, nextOf(record, now), requestOf(record, now), now)
    if (due.length > 0) onFired()
    const next = await store.schedules.nextDue()
    return next === null ? LOOK_MS : Math.max(0, next - clock.now())
  }

  /** Brings back what a clock that was ahead has put off for longer than its schedule can. */
  async #bound(nowMs: number): Promise<void> {
    const { schedules } = this.#options.store
    this.#boundedMs = nowMs
    for (const { sync, schedule, nextAt, failures } of await schedules.list({})) {
      const latest = latestOf(schedule, nowMs)
      if (nextAt === null || latest === null || nextAt <= latest) continue
      await schedules.note(sync, failures, { notAfterMs: nextInstant(schedule, nowMs, nowMs) ?? latest })
      const late = new Date(nextAt).toISOString()
      this.#options.log(`${sync} was due at ${late}, which its schedule can't be: the clock was ahead`, 'warn')
    }
  }

  #complain(error: unknown): number {
    this.#options.log(`looking for what is due failed: ${asSyncError(error).message}`, 'error')
    return LOOK_MS
  }
}

/** When it can be due at the latest; null: the clock does not make it due, or its schedule can't be read here. */
function latestOf(schedule: Schedule, nowMs: number): number | null {
  try {
    const next = nextInstant(schedule, nowMs + HELD_MS, nowMs)
    return next === null ? null : next + HELD_MS
  } catch {
    return null
  }
}

function nextOf({ schedule, nextAt }: ScheduleRecord, nowMs: number): number | null {
  return nextInstant(schedule, nowMs, nextAt ?? nowMs)
}

function requestOf({ sync }: ScheduleRecord, nowMs: number): JobRequest {
  return { sync, priority: 'default', reason: 'schedule', dueMs: nowMs, attempt: 1 }
}
