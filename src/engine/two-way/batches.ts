/** What was marked, batch by batch: load → reconcile → apply → commit. */
import { isErrorCode, SyncError } from '../../core/error.ts'
import { type Decision, reconcile } from '../../core/reconcile.ts'
import { type SideName, sideNames } from '../../core/two-way.ts'
import type { Phase, WorkItem } from '../../store/pairs.ts'
import { applyRequests, type Outcome, type Request, takeResult } from './apply.ts'
import { Changes } from './changes.ts'
import { meet, refuse, takeDecision } from './decide.ts'
import type { Deletions } from './deletions.ts'
import { interrupted } from './detect.ts'
import { type Loaded, type LoadedItem, loadBatch, nextRows } from './load.ts'
import { breakSwings, rememberWrite } from './oscillation.ts'
import type { RunUnderWay } from './under-way.ts'

/** How often a run tries an item again that somebody else changed at the same moment. */
const MAX_TRIES = 4

export class Batches {
  readonly #run: RunUnderWay
  readonly #deletions: Deletions
  #batch = 0
  /** Intents whose outcome is in the memory, so that the systems may forget it. */
  #settled: readonly string[] = []
  readonly #tries = new Map<number, number>()

  constructor(run: RunUnderWay, deletions: Deletions) {
    this.#run = run
    this.#deletions = deletions
  }

  /** Works through what is marked for a phase. */
  async work(phase: Phase): Promise<void> {
    const { sync, project } = this.#run.sides
    for (let rows = sync.batch.rows; ; ) {
      if (project.context.signal.aborted) throw interrupted(this.#run.sides)
      const works = await this.#run.pairs.work.next(phase, rows)
      if (works.length === 0) return
      // What there was no room for stays on the list until it is dealt with.
      const loaded = await loadBatch(this.#run.sides, this.#run.pairs.work, works)
      rows = nextRows(rows, loaded, sync.batch.rows)
      await this.#step(loaded, phase)
    }
  }

  /** reconcile → apply → commit, for one batch. */
  async #step(loaded: Loaded, phase: Phase): Promise<void> {
    const { memory, pairing } = this.#run.sides
    const { generation, run } = this.#run.lease
    const changes = new Changes(this.#run.sides, run)
    const postponed: WorkItem[] = []
    const requests: Request[] = []
    for (const { side, key } of loaded.gone) changes.settle(side, key)
    const met = loaded.meetings.filter((meeting) => !meet(this.#run, changes, meeting))
    await this.#run.standing.putAmbiguous(changes, loaded.ambiguities)
    const dropped: Record<SideName, string[]> = { left: [], right: [] }
    for (const one of loaded.items) {
      const item = { ...one.item, depended: this.#deletions.isDepended(one) }
      const decision = breakSwings(
        this.#run.sides,
        one,
        one.unreadable === null ? reconcile(item, pairing) : unreadable(one),
      )
      const drops = sideNames.filter((side) => decision[side]?.kind === 'delete')
      if (drops.length > 0 && phase === 'writes') this.#deletions.postpone(changes, one, drops, postponed, dropped)
      else requests.push(...takeDecision(this.#run, changes, one, decision))
    }
    await this.#deletions.countAlong(dropped)
    if (requests.length > 0) this.#run.tally.applying()
    const done = requests.length === 0 ? nothingDone : await this.#apply(requests)
    const again = this.#take(changes, done.outcomes)
    for (const intent of done.intents) changes.carried(intent)
    const change = changes.commit()
    if (Object.values(change).some((part: readonly unknown[]) => part.length > 0))
      this.#run.tally.steps.conflicts(change.conflicts, await this.#run.pairs.commit(generation, change))
    this.#run.tally.applied()
    this.#run.refused.tell()
    this.#settled = done.intents
    this.#run.tally.add({ conflicts: changes.opened })
    await this.#run.pairs.work.postpone(postponed)
    const waits = new Set([...postponed, ...again])
    await this.#run.pairs.work.done(loaded.works.filter((work) => !waits.has(work)))
    // Rows that met and do not agree are pairs now, and decided about as such.
    if (met.length > 0) {
      const pairs = await memory.byKeys(
        'left',
        met.map(({ keys }) => keys.left),
      )
      await this.#run.pairs.work.add(pairs.map(({ id }) => ({ pair: id })))
    }
  }

  async #apply(requests: readonly Request[]) {
    const writers = await this.#run.claimForWrites()
    const batch = `${this.#run.lease.run}.${this.#run.lease.attempt}-${String(this.#batch++).padStart(6, '0')}`
    return await applyRequests(
      this.#run.sides,
      this.#run.pairs,
      writers,
      this.#run.lease.generation,
      batch,
      requests,
      this.#settled,
    )
  }

  /** Takes results into the changes; returns the items to try again at once. */
  #take(changes: Changes, outcomes: readonly Outcome[]): WorkItem[] {
    const again: WorkItem[] = []
    for (const { request, result } of outcomes) {
      const { prepared, loaded } = request
      if (result.status === 'written') {
        rememberWrite(this.#run.sides, changes, prepared, loaded)
        takeResult(this.#run.sides, changes, prepared, result.row, loaded.pair)
        this.#run.count(prepared.kind)
      } else if (result.status === 'rejected') refuse(this.#run, changes, loaded, result)
      else {
        const tries = (this.#tries.get(loaded.work.seq) ?? 0) + 1
        this.#tries.set(loaded.work.seq, tries)
        if (tries < MAX_TRIES) again.push(loaded.work)
        else if (loaded.pair !== null) changes.pend({ pair: loaded.pair.id, state: 'again', code: null, message: null })
      }
    }
    return again
  }
}

const nothingDone = { outcomes: [] as readonly Outcome[], intents: [] as readonly string[] }

/** What can't be read is neither changed nor gone. */
function unreadable({ unreadable: reason }: LoadedItem): Decision {
  const code = reason !== null && isErrorCode(reason.code) ? reason.code : 'VALUE_REFUSED'
  const refused = new SyncError(code, reason?.message ?? 'the row can not be read')
  return { left: null, right: null, settled: [], conflicts: [], ended: [], pair: 'keep', deferred: false, refused }
}
