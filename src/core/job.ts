/** Jobs: the places of runs in the queue. */
import type { Failure } from './run.ts'
import type { SyncId } from './sync-id.ts'

export const priorities = ['high', 'default', 'low'] as const
export type Priority = (typeof priorities)[number]

/** How many milliseconds a job of each priority lets later ones of a higher priority pass: so low ones age, and are not starved. */
export const patienceMs: Readonly<Record<Priority, number>> = { high: 0, default: 60_000, low: 600_000 }

/** What put a job into the queue. */
export type JobReason = 'schedule' | 'command' | 'webhook' | 'after' | 'change' | 'retry'

/** A key of the API, as it is told of. */
export interface KeyName {
  readonly id: string
  readonly name: string
}

/** One place in the queue. There is at most one queued job, and at most one running one, per sync. */
export interface Job {
  readonly id: string
  readonly sync: SyncId
  readonly priority: Priority
  readonly reason: JobReason
  /** Who asked for it by the API; null: nobody there. Of several who asked, the first, unless one of them was nobody there. */
  readonly key: KeyName | null
  /** Milliseconds since 1970, as all instants here. */
  readonly queuedAt: number
  /** Not run before then. */
  readonly dueAt: number
  /** 1, and one more for every try after a failure. */
  readonly attempt: number
  readonly state: JobState
}

export type JobState =
  | { readonly status: 'queued' }
  | {
      readonly status: 'running'
      readonly worker: string
      readonly startedAt: number
      /** Until then nobody else takes it over. */
      readonly leaseUntil: number
      readonly cancelling: boolean
    }
  | ({ readonly status: EndStatus; readonly startedAt: number | null; readonly endedAt: number } & JobEnd)

export type EndStatus = 'succeeded' | 'failed' | 'held' | 'cancelled'

/** What became of a job. */
export interface JobEnd {
  /** The run it led to; null: none began. */
  readonly run: string | null
  readonly error: Failure | null
}
