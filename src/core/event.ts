/** Everything the service tells, to listeners in the process and over the API. Holds no row values and no secrets. */
import type { Job } from './job.ts'
import type { Failure, RunEvent } from './run.ts'
import type { SyncId } from './sync.ts'

export type EngineEvent = RunEvent | JobEvent | ConflictEvent | HealthEvent | ActionEvent | ConfigEvent

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
  | { readonly event: 'sync.vetoed'; readonly sync: SyncId; readonly job: string; readonly reason: string }
  /** As many runs in a row failed as make an alert. */
  | { readonly event: 'sync.failing'; readonly sync: SyncId; readonly failures: number; readonly error: Failure | null }
  | { readonly event: 'sync.recovered'; readonly sync: SyncId; readonly failures: number }

/** A person decided. That one was opened is in the counts of `run.finished`. */
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
      readonly key: { readonly id: string; readonly name: string } | null
    }
  | { readonly event: 'action.vetoed'; readonly connection: string; readonly action: string; readonly reason: string }

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
  readonly key: { readonly id: string; readonly name: string } | null
}

export type HealthEvent =
  | {
      readonly event: 'connection.unhealthy'
      readonly connection: string
      readonly until: number
      readonly error: Failure | null
    }
  | { readonly event: 'connection.healthy'; readonly connection: string }
