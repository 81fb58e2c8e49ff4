/**
 * The contract of the queue: jobs, and the schedules that make them. What must be exact is here, in every store: one queued and one
 * running job per sync, leases, fencing, next instants. Instants come in as arguments, in milliseconds since 1970.
 */
import type { EndStatus, Job, JobEnd, JobReason, JobState, KeyName, Priority } from '../core/job.ts'
import type { Schedule } from '../core/schedule.ts'
import type { SyncId } from '../core/sync-id.ts'

/** The queue. */
export interface JobStore {
  /**
   * Puts a job into the queue. Where the sync has one already, that one is returned, as urgent and as soon as the more urgent and sooner of
   * both; it counts as asked for by nobody if one of both is: it would run without the other. One that waits because it did not end stays as
   * late as it is.
   */
  enqueue(request: JobRequest, nowMs: number): Promise<Job>
  /**
   * Takes up to `limit` jobs that are due, the most urgent first, each with the lease of its sync: none whose sync somebody runs.
   * A job whose worker let its lease expire is taken over. One that somebody wants cancelled ends instead, and is not among them.
   */
  claim(claim: ClaimOptions, nowMs: number): Promise<readonly Claim[]>
  /** Prolongs the leases of what a worker runs, and says which of it is lost, and which somebody wants cancelled. */
  heartbeat(claims: readonly ClaimId[], nowMs: number, leaseMs: number): Promise<Heartbeat>
  /**
   * Ends a job, frees the lease and puts into the queue what its schedule says runs after its sync, if it succeeded, and the next try, if
   * there is to be one: in one transaction. Null, and nothing is written: the lease was lost (hazard 24).
   */
  finish(claim: ClaimId, end: JobOutcome, retry: JobRequest | null, nowMs: number): Promise<Finished | null>
  /**
   * Gives a job back unrun, to be claimed again from `dueMs` on; nobody's fault, so it is no further attempt. One that did not end is due then
   * and no sooner, also where its sync was asked for meanwhile. False: the lease was lost.
   */
  postpone(claim: ClaimId, dueMs: number): Promise<boolean>
  /** A queued job ends; of a running one its worker is told. JOB_UNKNOWN; JOB_ENDED. */
  cancel(id: string, nowMs: number): Promise<Job>
  get(id: string): Promise<Job | null>
  /** Newest first. Of ended jobs the last few of each sync are kept. */
  list(filter: JobFilter): Promise<readonly Job[]>
  count(): Promise<Readonly<Record<'queued' | 'running', number>>>
  /** When there may be something to claim next; null: not until somebody enqueues. */
  nextDue(): Promise<number | null>
}

export interface JobRequest {
  readonly sync: SyncId
  readonly priority: Priority
  readonly reason: JobReason
  readonly dueMs: number
  /** 1 unless it is a further try. */
  readonly attempt: number
  /** Absent: nobody asked by the API. */
  readonly key?: KeyName | null
}

export interface ClaimOptions {
  /** Who claims; one name per process. */
  readonly worker: string
  readonly leaseMs: number
  readonly limit: number
}

export interface ClaimId {
  readonly id: string
  readonly sync: SyncId
  /** The generation of the lease: the fencing token. */
  readonly generation: number
}

export interface Claim extends ClaimId {
  readonly job: Job
  /** Of a job that is taken over: how often it did not end so far. Else 0. */
  readonly takeovers: number
}

export interface Heartbeat {
  readonly lost: readonly ClaimId[]
  readonly cancelled: readonly ClaimId[]
}

export interface JobOutcome extends JobEnd {
  readonly status: EndStatus
}

export interface Finished {
  /** Runs of the sync in a row that failed before this one; null: it has no schedule. */
  readonly failures: number | null
}

export interface JobFilter {
  readonly sync?: SyncId
  /** Only of these syncs; the store finds theirs by an index, however many others have. */
  readonly among?: readonly SyncId[]
  readonly status?: JobState['status']
  /** Only jobs older than this one. */
  readonly before?: string
  readonly limit: number
}

/** Who made a schedule, and may take it away again: the config file, a call of the API, an embedder. */
export type ScheduleOrigin = 'config' | 'api'

/** When a sync runs by itself. */
export interface ScheduleRecord {
  readonly sync: SyncId
  readonly schedule: Schedule
  readonly origin: ScheduleOrigin
  readonly paused: boolean
  /** When it is due next; null: the clock does not make it due, or it is paused. */
  readonly nextAt: number | null
  /** When it was last due. */
  readonly lastAt: number | null
  /** Runs in a row that failed. */
  readonly failures: number
}

export interface ScheduleStore {
  /**
   * Sets a sync's schedule. One that says the same as before stays in step; a new one is due at `firstMs`. What a call of the API said
   * counts until another call takes it back: one of the config does not take its place.
   */
  put(schedule: Pick<ScheduleRecord, 'sync' | 'schedule' | 'origin'>, firstMs: number | null): Promise<void>
  remove(sync: SyncId): Promise<boolean>
  get(sync: SyncId): Promise<ScheduleRecord | null>
  /** In the order of their names. */
  list(filter: ScheduleFilter): Promise<readonly ScheduleRecord[]>
  /** Sets `nextAt`; null pauses the sync. False: it has no schedule. */
  pause(sync: SyncId, paused: boolean, nextMs: number | null): Promise<boolean>
  /** What is due, the longest waiting first. */
  due(nowMs: number, limit: number): Promise<readonly ScheduleRecord[]>
  /** When something is due next. */
  nextDue(): Promise<number | null>
  /** Puts the job into the queue and moves on to `nextMs`, in one transaction. False: another process did so already. */
  fire(due: ScheduleRecord, nextMs: number | null, request: JobRequest, nowMs: number): Promise<boolean>
  /** Keeps how often in a row a sync failed; where the clock makes it due, not before or not after an instant. */
  note(sync: SyncId, failures: number, bound: Bound): Promise<void>
}

/** Moves what is due next, if it is outside. */
export interface Bound {
  readonly notBeforeMs?: number
  readonly notAfterMs?: number
}

export interface ScheduleFilter {
  /** Those that run after this sync. */
  readonly after?: SyncId
  readonly origin?: ScheduleOrigin
  /** Those of this connection's syncs: their names begin with its id and a slash. */
  readonly connection?: string
}
