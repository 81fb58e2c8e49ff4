/** How runs and schedules look to embedders. */
import { SyncError } from '../core/error.ts'
import type { Job } from '../core/job.ts'
import type { RunRecord } from '../core/run.ts'
import type { JobOutcome, ScheduleRecord } from '../store/jobs.ts'
import type { Store } from '../store/store.ts'
import { systemClock } from './clock.ts'
import { partsOf } from './connections/handler-syncs.ts'
import type { Events } from './observe/events.ts'

/** What became of a sync. */
export interface ExecutionResult {
  readonly success: boolean
  /** How many rows were read, inserted, updated, deleted, unchanged and rejected. */
  readonly data?: unknown
  readonly error?: string
  /** Milliseconds. */
  readonly executionTime: number
  readonly timestamp: Date
}

/** A sync that runs by itself. */
export interface ScheduledJob {
  readonly id: string
  readonly connectionId: string
  readonly syncName: string
  /** Minutes between runs; 0: by other rules than an interval. */
  readonly schedule: number
  readonly nextRun?: Date
  readonly isActive: boolean
  readonly lastRun?: Date
  readonly lastResult?: ExecutionResult
}

/** Another process may run the job: then its end is seen by looking. */
const LOOK_MS = 500

/** Null: a schedule of the config, not of a connection. */
export async function scheduledJob(record: ScheduleRecord, store: Store): Promise<ScheduledJob | null> {
  const parts = partsOf(record.sync)
  if (parts === null) return null
  const { schedule, nextAt, paused } = record
  // The newest may be going on.
  const runs = await store.runs.list({ sync: record.sync, limit: 2 })
  const last = runs.find(({ status }) => status !== 'running')
  return {
    id: record.sync,
    ...parts,
    schedule: 'everyMs' in schedule ? schedule.everyMs / 60_000 : 0,
    ...(nextAt === null ? {} : { nextRun: new Date(nextAt) }),
    isActive: !paused,
    ...(last === undefined ? {} : { lastRun: new Date(last.startedAt), lastResult: resultOf(last) }),
  }
}

/** Waits until the job has ended. When the signal is aborted first, the result says so; the job goes on where it can. */
export async function waitForJob(
  job: Job,
  store: Store,
  events: Events,
  signal: AbortSignal,
): Promise<ExecutionResult> {
  const startedAt = systemClock.now()
  const end = await jobEnd(job, store, events, signal)
  if (end === null) return failure('the engine was destroyed before the sync ended', startedAt)
  const run = end.run === null ? null : await store.runs.get(end.run)
  return run === null ? failure(end.error?.message ?? `the job was ${end.status}`, startedAt) : resultOf(run)
}

/** How a job ended, as soon as it has; null: the signal was aborted first. */
export async function jobEnd(job: Job, store: Store, events: Events, signal: AbortSignal): Promise<JobOutcome | null> {
  for (;;) {
    const ended = new AbortController()
    const unsubscribe = events.subscribe((event) => {
      if (event.event === 'job.ended' && event.job === job.id) ended.abort()
    })
    try {
      const now = await store.jobs.get(job.id)
      if (now === null) throw new SyncError('JOB_UNKNOWN', 'the job was forgotten before its end was seen')
      if ('endedAt' in now.state) return now.state
      if (signal.aborted) return null
      await systemClock.sleep(LOOK_MS, AbortSignal.any([signal, ended.signal])).catch(() => {})
    } finally {
      unsubscribe()
    }
  }
}

function resultOf(run: RunRecord): ExecutionResult {
  const { read, inserted, updated, deleted, unchanged, rejected } = run
  return {
    success: run.status === 'succeeded',
    data: { read, inserted, updated, deleted, unchanged, rejected },
    ...(run.error === null
      ? {}
      : { error: run.error.hint === null ? run.error.message : `${run.error.message}. ${run.error.hint}` }),
    executionTime: run.durationMs ?? 0,
    timestamp: new Date(run.startedAt),
  }
}

function failure(error: string, startedAt: number): ExecutionResult {
  return { success: false, error, executionTime: systemClock.now() - startedAt, timestamp: new Date(startedAt) }
}
