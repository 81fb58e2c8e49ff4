/** Runs, jobs and schedules as JSON: what the command line prints with --json and the API answers. */
import type { Job } from '../core/job.ts'
import type { RunRecord } from '../core/run.ts'
import { formatSchedule, type Schedule } from '../core/schedule.ts'

/** A run: its counts, and when and how it ended. */
export function runObject(run: RunRecord): Record<string, unknown> {
  const { id, sync, status, startedAt, error, releasedAt, ...rest } = run
  return {
    sync,
    run: id,
    status,
    startedAt: iso(startedAt),
    ...rest,
    releasedAt: iso(releasedAt),
    ...(error === null ? {} : { error }),
  }
}

/** A job: its state's parts beside its own. */
export function jobObject({ state, queuedAt, dueAt, ...job }: Job): Record<string, unknown> {
  const times = {
    queuedAt: iso(queuedAt),
    dueAt: iso(dueAt),
    startedAt: iso('startedAt' in state ? state.startedAt : null),
    endedAt: iso('endedAt' in state ? state.endedAt : null),
  }
  const end = 'run' in state ? { run: state.run, error: state.error } : { run: null, error: null }
  return { ...job, status: state.status, ...times, ...end }
}

export interface ScheduleParts {
  readonly sync: string
  readonly schedule: Schedule
  readonly paused: boolean
  readonly nextAt: number | null
  readonly lastAt: number | null
  readonly failures: number
}

/** A schedule, in words. */
export function scheduleObject({
  sync,
  schedule,
  paused,
  nextAt,
  lastAt,
  failures,
}: ScheduleParts): Record<string, unknown> {
  return { sync, schedule: formatSchedule(schedule), paused, nextAt: iso(nextAt), lastAt: iso(lastAt), failures }
}

/** `2025-01-31T13:05:09.250Z` */
export function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
