/** Work on a sync without the queue, under a lease that is kept alive as long as it lasts. */
import { asSyncError, SyncError } from '../../core/error.ts'
import type { RunRecord } from '../../core/run.ts'
import type { AnySync } from '../../core/two-way.ts'
import type { Project } from '../project.ts'
import { LEASE_MS, type RunOptions, runSync } from './run-sync.ts'

/** Runs a sync. LEASE_LOST: somebody else runs it now. */
export async function runAlone(sync: AnySync, project: Project, options: RunOptions = {}): Promise<RunRecord> {
  return await underLease(sync, project, (lease, held) => runSync(sync, held, { ...options, lease }))
}

/** Does what may not be done while somebody runs the sync. LEASE_LOST: somebody does. The project's signal tells when the lease is lost. */
export async function underLease<Result>(
  sync: AnySync,
  project: Project,
  work: (lease: number, project: Project) => Promise<Result>,
): Promise<Result> {
  const { store, context } = project
  const lease = await store.leases.take(sync.id, store.holder, context.clock.now(), LEASE_MS)
  const ended = new AbortController()
  const lost = new AbortController()
  const keeping = keep(sync, lease, project, ended.signal, lost)
  try {
    const signal = AbortSignal.any([context.signal, lost.signal])
    return await work(lease, { ...project, context: { ...context, signal } })
  } finally {
    ended.abort()
    await keeping
    await store.leases.free(sync.id, lease)
  }
}

async function keep(
  { id }: AnySync,
  lease: number,
  { store, context }: Project,
  ended: AbortSignal,
  lost: AbortController,
): Promise<void> {
  const { clock, log } = context
  while (!ended.aborted) {
    await clock.sleep(LEASE_MS / 4, ended).catch(() => {})
    if (ended.aborted) return
    try {
      if (await store.leases.renew(id, lease, clock.now(), LEASE_MS)) continue
      lost.abort(takenOver(id))
      return
    } catch (error) {
      log(`prolonging the lease of ${id} failed: ${asSyncError(error).message}`, 'error')
    }
  }
}

function takenOver(sync: string): SyncError {
  return new SyncError('LEASE_LOST', `another process took over sync ${sync}; this one stops`, {
    hint: 'Nothing is lost: the other process goes on from the last checkpoint.',
  })
}
