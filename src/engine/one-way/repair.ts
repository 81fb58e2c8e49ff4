/** A repair is kept in the history as a run of its own: what its guard holds can be released, and a release that it needed is used up. */
import { SyncError } from '../../core/error.ts'
import type { Settlement } from '../../core/outcome.ts'
import { failed, guardHeld, outcomeOf } from '../../core/outcome.ts'
import type { Sync } from '../../core/sync.ts'
import { Tally } from '../observe/run-counts.ts'
import { newRunId } from '../observe/run-events.ts'
import type { Project } from '../project.ts'
import { redactError } from '../secrets/redact.ts'

/** How many rows it would delete, more than the guard allows. */
export type Held = Extract<Settlement, { readonly status: 'held' }>

/** GUARD_HELD where `mend` was held; the hint names the run to be released. */
export async function recordRepair<Mended extends { readonly status: 'succeeded' }>(
  sync: Sync,
  { store, context }: Project,
  mend: (tally: Tally) => Promise<Mended | Held>,
): Promise<Mended> {
  const run = { id: newRunId({ context }), sync: sync.id, startedAt: context.clock.now() }
  const tally = new Tally(context, () => {})
  await store.runs.start(run)
  const mended = await mend(tally).catch((thrown) => redactError(thrown, context.redact))
  const outcome = mended instanceof SyncError ? failed(mended) : outcomeOf(sync, run.id, mended, tally.counts, false)
  const durationMs = context.clock.now() - run.startedAt
  const finished = store.runs.finish({ ...run, ...tally.counts, ...outcome, durationMs, releasedAt: null })
  if (mended instanceof SyncError) {
    // What went wrong first is told.
    await finished.catch(() => {})
    throw mended
  }
  await finished
  if (mended.status === 'held') throw guardHeld(sync, run.id, mended.deletes)
  return mended
}
