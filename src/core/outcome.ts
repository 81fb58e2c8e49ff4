/** How a run ended, as history keeps it. */
import { SyncError } from './error.ts'
import { type Counts, failureOf, type RunRecord } from './run.ts'
import { type AnySync, isTwoWay } from './two-way.ts'

export type Outcome = Pick<RunRecord, 'status' | 'error' | 'heldDeletes'>

/** `patient`: the sync has another run to come, after others. */
export function outcomeOf(
  sync: AnySync,
  run: string,
  settlement: Settlement,
  { rejected }: Counts,
  patient: boolean,
): Outcome {
  if (settlement.status === 'held') {
    const error = guardHeld(sync, run, settlement.deletes)
    return { status: 'held', error: failureOf(error), heldDeletes: settlement.deletes }
  }
  // What foreign keys of the target stand in the way of waits for the sync's next run, after others.
  const waits = patient && !isTwoWay(sync) && rejected === (settlement.referenced ?? 0)
  if (rejected === 0 || waits) return { status: 'succeeded', error: null, heldDeletes: null }
  const error = new SyncError(
    'ROWS_REJECTED',
    `${rows(rejected)} of sync ${sync.id} could not be written; all others were`,
    { hint: `\`syncline dead-letters ${sync.id}\` lists keys and reasons. Every run tries again.` },
  )
  return failed(error)
}

/** `run`: the one to be released. */
export function guardHeld(sync: AnySync, run: string, deletes: number): SyncError {
  const of = isTwoWay(sync) ? '' : ` of ${sync.to.collection}`
  return new SyncError(
    'GUARD_HELD',
    `sync ${sync.id} would delete ${rows(deletes)}${of}, more than its guard allows; nothing was deleted`,
    { hint: `Look at it with \`syncline plan ${sync.id}\`. If it is right: syncline release ${run}, then run again.` },
  )
}

function rows(count: number): string {
  return count === 1 ? '1 row' : `${count} rows`
}

export function failed(error: SyncError): Outcome {
  const held = error.code === 'SCHEMA_DRIFT' || error.code === 'SIDE_REPLACED' || error.code === 'STATE_OLDER'
  const status = error.code === 'INTERRUPTED' ? 'interrupted' : held ? 'held' : 'failed'
  return { status, error: failureOf(error), heldDeletes: null }
}

export type Settlement =
  | {
      readonly status: 'succeeded'
      /** Refused rows that a foreign key stands in the way of: other syncs may clear it. Absent: none are known. */
      readonly referenced?: number
    }
  | { readonly status: 'held'; readonly deletes: number }
