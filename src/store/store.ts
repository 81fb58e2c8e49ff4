/** The contract of the state store: what a project remembers besides what stands in its targets. */
import type { RunRecord, RunStatus } from '../core/run.ts'
import type { SyncId } from '../core/sync-id.ts'
import type { CircuitStore } from './circuits.ts'
import type { Delivery } from './delivery.ts'
import type { JobStore, ScheduleStore } from './jobs.ts'
import type { LimitStore } from './limits.ts'
import type { PairStore } from './pairs.ts'
import type { RecordStore } from './records.ts'
import type { Topic } from './topic.ts'

/** A project's memory. Checkpoints are not in it: they stand beside the rows, in the target. */
export interface Store extends AsyncDisposable {
  /** The id under which this project owns target tables; made at first use, never changes. */
  projectId(): Promise<string>
  /**
   * Keeps a second process from running the same project; PROJECT_LOCKED names the other's pid. Freed by the system when this one dies.
   * In a store that many processes share it keeps nobody out: there leases alone keep two from running one sync.
   */
  lock(): Promise<AsyncDisposable>
  /** Whether a process holds the lock now: it runs the project, or serves it. Absent: many share the store, and none knows of all others. */
  worked?(): boolean
  /** The name under which this process takes the leases of what it runs without the queue. Where many share the store, each has its own. */
  readonly holder: string
  /** Yields when another process may have changed a schedule. May be lossy: it only saves waiting. Absent: there is one process. */
  hints?(signal: AbortSignal): AsyncIterable<unknown>
  readonly runs: RunStore
  readonly leases: LeaseStore
  readonly pairs: PairStore
  readonly jobs: JobStore
  readonly schedules: ScheduleStore
  readonly records: RecordStore
  /** How often systems are asked by all processes together. Absent: there is one process. */
  readonly limits?: LimitStore
  /** Which connections do not answer, as all processes know it. Absent: there is one process. */
  readonly circuits?: CircuitStore
  /** How those who work hear of the queue. Absent: there is one process. */
  readonly delivery?: Delivery
  /** What its processes tell each other. Absent: there is one process. */
  readonly topic?: Topic
  /** Milliseconds since 1970 by the store's own clock, which all its processes go by. Absent: there is one process, and its clock counts. */
  now?(): Promise<number>
  /** Where the rows that syncs of connections gather are kept beside this store, for all its processes. Absent: in files of this process. */
  rowsDatabase?(): RowsDatabase
}

/** A schema of a Postgres database; it is there. The URL may hold a password: it is told to nobody. */
export interface RowsDatabase {
  readonly url: string
  readonly schema: string
}

/** The history of runs. */
export interface RunStore {
  /** To be called under the lease of its sync. */
  start(run: Pick<RunRecord, 'id' | 'sync' | 'startedAt'>): Promise<void>
  /** Writes the final state of a run. Where many share the store: nothing, when its lease was taken over. */
  finish(run: RunRecord): Promise<void>
  /** Newest first; a run whose process died without finishing it is `interrupted`: known by its lock, or when its lease has expired. */
  list(filter: RunFilter): Promise<readonly RunRecord[]>
  get(id: string): Promise<RunRecord | null>
  /** Lets a held run go on: the next run of its sync may delete up to its `heldDeletes`. RUN_UNKNOWN, or GUARD_HELD when it is not held, not by the guard, or not any more. */
  release(id: string, atMs: number): Promise<RunRecord>
  /** How many deletions a release allows the sync's next run; null: no release stands. A later run that succeeded, was held, or deleted anything uses it up. */
  released(sync: SyncId): Promise<number | null>
}

/** Which runs of the history. */
export interface RunFilter {
  /** A pattern's name means all it expanded to. */
  readonly sync?: SyncId
  /** Only of these syncs; the store finds theirs by an index, however many others have. */
  readonly among?: readonly SyncId[]
  readonly status?: RunStatus
  /** Only the newest (of that status) of each sync. */
  readonly latest?: boolean
  /** Only runs older than this one. */
  readonly before?: string
  readonly limit: number
}

/** Who may run a sync. Generations only grow; the one with the highest is the only one that may write. */
export interface LeaseStore {
  /** Takes the lease and returns its generation. LEASE_LOST when another holder's lease has not expired. */
  take(sync: SyncId, holder: string, nowMs: number, forMs: number): Promise<number>
  /** Prolongs it; false when it was taken over. */
  renew(sync: SyncId, generation: number, nowMs: number, forMs: number): Promise<boolean>
  free(sync: SyncId, generation: number): Promise<void>
}
