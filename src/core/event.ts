/** Everything the service tells, to listeners in the process and over the API. Holds no row values and no secrets. */
import type { Job, KeyName } from './job.ts'
import type { Failure, RunEvent } from './run.ts'
import type { SyncId } from './sync-id.ts'
import type { SideName } from './two-way.ts'

export type EngineEvent =
  | RunEvent
  | StepEvent
  | RunEndEvent
  | JobEvent
  | ConflictEvent
  | HealthEvent
  | ActionEvent
  | ConfigEvent

export type JobEvent =
  | {
      readonly event: 'job.ended'
      readonly sync: SyncId
      readonly job: string
      readonly status: string
      readonly run: string | null
    }
  /** Before a run: a listener may veto it. */
  | { readonly event: 'sync.starting'; readonly sync: SyncId; readonly job: Job }
  /** Nobody vetoed it: the run has begun. */
  | { readonly event: 'sync.started'; readonly sync: SyncId; readonly job: string; readonly run: string }
  | { readonly event: 'sync.vetoed'; readonly sync: SyncId; readonly job: string; readonly reason: string }
  /** As many runs in a row failed as make an alert. */
  | { readonly event: 'sync.failing'; readonly sync: SyncId; readonly failures: number; readonly error: Failure | null }
  | { readonly event: 'sync.recovered'; readonly sync: SyncId; readonly failures: number }

/** One step of a run. Rows are told of by a hash of their key. */
export type StepEvent =
  /** Before a batch is written. Without a `batch.applied` after it, it was not committed. */
  | { readonly event: 'batch.applying'; readonly sync: SyncId; readonly run: string; readonly batch: number }
  | {
      readonly event: 'batch.applied'
      readonly sync: SyncId
      readonly run: string
      /** From 1, in the order of writing. */
      readonly batch: number
      readonly inserted: number
      readonly updated: number
      readonly deleted: number
    }
  /** Once, when a row is refused that was not before; the first hundred of a run. */
  | {
      readonly event: 'row.rejected'
      readonly sync: SyncId
      readonly run: string
      /** Whose system refused it; null: the target of a one-way sync. */
      readonly side: SideName | null
      readonly keyHash: string
      readonly code: string
    }
  /** Put on record. With a status other than `open` a rule has decided it already. */
  | {
      readonly event: 'conflict.opened'
      readonly sync: SyncId
      readonly run: string
      readonly conflict: string
      readonly kind: string
      readonly fields: readonly string[]
      readonly status: string
    }
  | (ConflictEvent & { readonly run: string })
  | {
      readonly event: 'schema.changed'
      readonly sync: SyncId
      readonly run: string
      /** What changed, for people. */
      readonly changes: readonly string[]
      /** False: the sync is held because of it. */
      readonly applied: boolean
    }

/** How a run ended that did not succeed; `run.finished` says it, too. */
export type RunEndEvent = {
  readonly event: 'run.failed' | 'run.held'
  readonly sync: SyncId
  readonly run: string
  readonly error: Failure | null
}

/** Decided by a person (`decided`: the next run carries it out), or over. */
export interface ConflictEvent {
  readonly event: 'conflict.resolved'
  readonly sync: SyncId
  readonly conflict: string
  readonly status: string
}

export type ActionEvent =
  /** Before an action: a listener may veto it. */
  | {
      readonly event: 'action.starting'
      readonly connection: string
      readonly action: string
      readonly project: string | null
      /** Who asked for it by the API. */
      readonly key: KeyName | null
    }
  | { readonly event: 'action.vetoed'; readonly connection: string; readonly action: string; readonly reason: string }

/** By a type that knows them all, so that none is left out. */
const names: Readonly<Record<EngineEvent['event'], true>> = {
  'run.started': true,
  'run.progress': true,
  'run.schema': true,
  'run.retrying': true,
  'run.finished': true,
  'run.failed': true,
  'run.held': true,
  'job.ended': true,
  'sync.starting': true,
  'sync.started': true,
  'sync.vetoed': true,
  'sync.failing': true,
  'sync.recovered': true,
  'batch.applying': true,
  'batch.applied': true,
  'row.rejected': true,
  'conflict.opened': true,
  'conflict.resolved': true,
  'schema.changed': true,
  'action.starting': true,
  'action.vetoed': true,
  'config.changed': true,
  'connection.unhealthy': true,
  'connection.healthy': true,
}

/** The names of all events. */
export const eventNames: readonly string[] = Object.keys(names)

/** Events that come by the batch or by the row: too many for who did not ask for them by name. */
export const frequentEvents: ReadonlySet<EngineEvent['event']> = new Set([
  'run.progress',
  'batch.applying',
  'batch.applied',
  'row.rejected',
])

/** What is set was changed, by a call of the API to this process or in its config file. Not what it is now. */
export interface ConfigEvent {
  readonly event: 'config.changed'
  readonly what: 'sync' | 'schedule' | 'connection' | 'key' | 'webhook' | 'file'
  /** Of the sync or the connection; the id of the key or the webhook; the file's name. */
  readonly name: string
  readonly change: 'made' | 'changed' | 'removed' | 'paused' | 'resumed'
  /** Whose it is; null: nobody's in particular. */
  readonly project: string | null
  /** Who asked for it by the API. */
  readonly key: KeyName | null
}

export type HealthEvent =
  | {
      readonly event: 'connection.unhealthy'
      readonly connection: string
      readonly until: number
      readonly error: Failure | null
    }
  | { readonly event: 'connection.healthy'; readonly connection: string }
