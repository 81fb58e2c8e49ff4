/** Runs: their states, their counts, and the events they emit. */
import type { SyncError } from './error.ts'
import type { SchemaChange } from './schema.ts'
import type { SyncId } from './sync-id.ts'
import type { Value } from './value.ts'

export type RunStatus = 'running' | 'succeeded' | 'failed' | 'held' | 'interrupted'

export interface Counts {
  /** Rows read from the source. */
  readonly read: number
  readonly inserted: number
  readonly updated: number
  readonly deleted: number
  readonly unchanged: number
  /** Rows refused and not held by the target, including those of earlier runs. */
  readonly rejected: number
  /** Values changed by a declared loss of the target (NaN in SQLite). */
  readonly lossy: number
  /** Conflicts put on record by a two-way sync, those that a rule decided included. */
  readonly conflicts: number
}
export const zeroCounts: Counts = {
  read: 0,
  inserted: 0,
  updated: 0,
  deleted: 0,
  unchanged: 0,
  rejected: 0,
  lossy: 0,
  conflicts: 0,
}

export interface Failure {
  readonly code: string
  readonly message: string
  readonly hint: string | null
}

/** An error as history keeps it: not every store holds a NUL. */
export function failureOf({ code, message, hint }: SyncError): Failure {
  return { code, message: withoutNul(message), hint: hint === null ? null : withoutNul(hint) }
}

function withoutNul(text: string): string {
  return text.replaceAll('\0', '\uFFFD')
}

/** One execution of a sync, as history keeps it. */
export interface RunRecord extends Counts {
  readonly id: string
  readonly sync: SyncId
  readonly status: RunStatus
  /** Milliseconds since 1970. */
  readonly startedAt: number
  readonly durationMs: number | null
  readonly error: Failure | null
  /** For a held run: how many deletions were held, which is what a release allows. */
  readonly heldDeletes: number | null
  readonly releasedAt: number | null
}

export type RunEvent =
  | { readonly event: 'run.started'; readonly sync: SyncId; readonly run: string }
  | ({
      readonly event: 'run.progress'
      readonly sync: SyncId
      readonly run: string
      readonly phase: Phase /** Rows expected in this phase; null: unknown. */
      readonly total: number | null
    } & Counts)
  | {
      readonly event: 'run.schema'
      readonly sync: SyncId
      readonly run: string
      readonly changes: readonly SchemaChange[]
    }
  | {
      readonly event: 'run.retrying'
      readonly sync: SyncId
      readonly run: string
      readonly attempt: number
      readonly waitMs: number
      readonly error: Failure
    }
  | ({
      readonly event: 'run.finished'
      readonly sync: SyncId
      readonly run: string
      /** `interrupted`: somebody stopped it, or its process; it goes on later. */
      readonly status: Exclude<RunStatus, 'running'>
      readonly durationMs: number
      readonly error?: Failure
    } & Counts)

export type Phase = 'copy' | 'follow' | 'compare' | 'sweep' | 'apply'

/** A key as people see it: `{column: value}`, bigints and decimals as strings. */
export type PrintedKey = Readonly<Record<string, Value>>
