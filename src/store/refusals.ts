/** What every store refuses, in the same words. */
import { SyncError } from '../core/error.ts'
import type { RunRecord } from '../core/run.ts'

export function leaseTaken(sync: string): SyncError {
  return new SyncError('LEASE_LOST', `sync "${sync}" is being run by somebody else`, {
    hint: 'Wait until that run ends; a lease whose process died expires by itself.',
  })
}

export function leaseLost(sync: string): SyncError {
  return new SyncError('LEASE_LOST', `another process took over sync ${sync}; this one writes nothing more`, {
    hint: 'Nothing is lost: the other process goes on.',
  })
}

/** Of a run whose marks and what was done about them don't add up. */
export function marksLost(sync: string, count: number): SyncError {
  return new SyncError(
    'INTERNAL',
    `sync ${sync}: this run did not look at ${count} of the rows that it marked as changed`,
    {
      hint: 'Nothing is lost: the next run finds them again. This is a bug in Syncline; please report it.',
    },
  )
}

export function jobUnknown(id: string): SyncError {
  return new SyncError('JOB_UNKNOWN', `there is no job ${id}`, {
    hint: 'Ended jobs are forgotten after a while; `syncline history` lists the runs.',
  })
}

export function jobEnded(id: string, sync: string, status: string): SyncError {
  return new SyncError('JOB_ENDED', `job ${id} of "${sync}" has ended: it ${status}`, {
    hint: 'Only a queued or a running job can be cancelled.',
  })
}

/** The run, if its guard holds it still. RUN_UNKNOWN, or GUARD_HELD when there is nothing to release. `overtaking`: see `overtakes`. */
export function releasable(id: string, run: RunRecord | null, overtaking: RunRecord | null): RunRecord {
  if (run === null) {
    throw new SyncError('RUN_UNKNOWN', `there is no run ${id}`, {
      hint: '`syncline history` lists the runs, `syncline status` the held ones.',
    })
  }
  if (run.status !== 'held') {
    throw new SyncError('GUARD_HELD', `run ${id} of "${run.sync}" is not held: it ${endedHow(run.status)}`, {
      hint: '`syncline status` lists the held runs.',
    })
  }
  if (run.heldDeletes === null) {
    const reason = run.error?.code === 'SCHEMA_DRIFT' ? 'a schema change' : run.error?.code
    throw new SyncError('GUARD_HELD', `run ${id} of "${run.sync}" is held by ${reason}, not by the guard`, {
      hint: run.error?.hint ?? `\`syncline plan ${run.sync}\` shows the change.`,
    })
  }
  if (overtaking !== null) {
    throw new SyncError(
      'GUARD_HELD',
      `nothing of run ${id} of "${run.sync}" is held any more: run ${overtaking.id} came after it`,
      {
        hint:
          overtaking.status === 'held'
            ? `That one is held now, for ${overtaking.heldDeletes} deletions: \`syncline plan ${run.sync}\` shows them; if they are right: syncline release ${overtaking.id}`
            : '`syncline status` lists the held runs.',
      },
    )
  }
  return run
}

/**
 * SQL, of a run `later` than `held` of the same sync: what `held` held was done, or is no more, or it is not what is held now. Looks that hold as many
 * again, as a service takes every minute, leave it to be released.
 */
export const overtakes = `(later.status = 'succeeded'
  or (later.status = 'held' and later.held_deletes <> held.held_deletes)
  or (later.status in ('failed', 'interrupted') and later.deleted > 0))`

function endedHow(status: RunRecord['status']): string {
  return status === 'running' ? 'is still running' : status === 'interrupted' ? 'was interrupted' : status
}
