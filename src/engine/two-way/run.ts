/**
 * The straight line of a two-way sync (and of one-way into a table that others write to):
 *
 *   detect what changed → load items → reconcile → apply by conditional writes → commit bases, conflicts and journal
 *
 * Deletions come last, and only if the guard lets them.
 */
import type { Settlement } from '../../core/outcome.ts'
import type { SideName, TwoWaySync } from '../../core/two-way.ts'
import type { Tally } from '../observe/run-counts.ts'
import type { Project } from '../project.ts'
import { Batches } from './batches.ts'
import { Deletions } from './deletions.ts'
import { detect } from './detect.ts'
import { layoutChanges, openPairSides } from './open.ts'
import { recover } from './recover.ts'
import { heldBackByReferences } from './references.ts'
import { fencesOfOthers, replacedSide } from './replaced-side.ts'
import { type RunLease, RunUnderWay } from './under-way.ts'

export async function run(sync: TwoWaySync, project: Project, tally: Tally, lease: RunLease): Promise<Settlement> {
  await using sides = await openPairSides(sync, project)
  const replaced = await replacedSide(sides)
  if (replaced !== null) throw replaced
  await using pairs = await project.store.pairs.run(sync.id)
  await using underWay = new RunUnderWay(sides, pairs, tally, lease)
  const deletions = new Deletions(underWay)
  const batches = new Batches(underWay, deletions)
  await recover(underWay)
  await begin(underWay)
  const whole = await lastCameToItsEnd(sync, project, lease)
  const detected = await detect(sides, pairs.work, tally, { pairs, generation: lease.generation, whole })
  tally.enter('apply', (await pairs.work.count('writes')) || null)
  await batches.work('writes')
  const deletes = deletions.total
  const held = await deletions.areHeld(detected.rows)
  if (held) await deletions.hold()
  else await deletions.drop((phase) => batches.work(phase))
  await finish(underWay, detected.cursors)
  return held ? { status: 'held', deletes } : { status: 'succeeded' }
}

/** Whether nothing has been written since the cursors that this run reads from, but what bases tell of. */
async function lastCameToItsEnd({ id }: TwoWaySync, { store }: Project, lease: RunLease): Promise<boolean> {
  if (lease.attempt > 1) return false
  const [last] = (await store.runs.list({ sync: id, limit: 2 })).filter((run) => run.id !== lease.run)
  if (last?.status === 'held') return last.heldDeletes !== null
  return last?.status === 'succeeded' || last?.error?.code === 'ROWS_REJECTED'
}

/** A changed definition is on record before anything is kept in its terms. */
async function begin(run: RunUnderWay): Promise<void> {
  const { sides, lease } = run
  const { memory, state, layout, afresh } = sides
  const waiting = await memory.waiting()
  run.heldBack = heldBackByReferences(waiting)
  run.refused.begin(waiting)
  await run.standing.closeStrays(lease.generation)
  if (afresh === null) return
  // A system that needs tables of ours gets them before it is read: reading on must not meet another schema.
  await run.claim()
  if (state.layouts.some(({ id }) => id === layout.id)) return
  const changed = layoutChanges(sides)
  if (changed.length > 0) run.tally.steps.schema(changed, true)
  const cursors = { left: null, right: null }
  await run.pairs.finish(lease.generation, { cursors, layouts: [...state.layouts, layout], runs: state.runs })
}

/** Cursors move now that all that was marked is dealt with. */
async function finish(run: RunUnderWay, cursors: Readonly<Record<SideName, string | null>>): Promise<void> {
  const { sides, lease } = run
  const { memory, state, layout, sync, project } = sides
  await run.standing.putClashes(lease.generation)
  await run.standing.closeMatches(lease.generation)
  await run.standing.closeUndone(lease.generation)
  await run.close()
  const marks = run.columns
  const columns = { left: marks.left?.marks ?? {}, right: marks.right?.marks ?? {} }
  const layouts = [
    ...state.layouts.filter(({ id }) => id !== layout.id),
    { ...layout, complete: true, columns, others: fencesOfOthers(sides) },
  ]
  await run.pairs.finish(lease.generation, { cursors, layouts, runs: state.runs + 1 })
  const waiting = await memory.waiting()
  const rejected = [...waiting.pairs, ...waiting.unpaired].filter((one) => one.state === 'rejected')
  run.tally.setRejected(rejected.length)
  await project.store.pairs.journal.prune(sync.id, project.context.clock.now() - sync.journalDays * 86_400_000)
}
