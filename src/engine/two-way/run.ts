/**
 * The straight line of a two-way sync (and of one-way into a table that others write to):
 *
 *   detect what changed → load items → reconcile → apply by conditional writes → commit bases, conflicts and journal
 *
 * Deletions come last, and only if the guard lets them.
 */
import type { Writer } from '../../connectors/connector.ts'
import { isHeldByReference } from '../../connectors/connector.ts'
import { isErrorCode, SyncError } from '../../core/error.ts'
import { holds } from '../../core/guard.ts'
import type { Settlement } from '../../core/outcome.ts'
import { type Action, type Decision, reconcile } from '../../core/reconcile.ts'
import type { TwoWaySync } from '../../core/two-way.ts'
import { otherSide, type SideName, sideNames } from '../../core/two-way.ts'
import {
  anyFence,
  type ConflictChange,
  type PairCommit,
  type PairRun,
  type PairState,
  type Pending,
  type Phase,
  type Unpaired,
  type WorkItem,
} from '../../store/pairs.ts'
import type { Tally } from '../observe/run-counts.ts'
import type { Project } from '../project.ts'
import { applyRequests, type Outcome, type Request, requestOf, takeResult } from './apply.ts'
import { Changes, conflictChanges } from './changes.ts'
import { deletedRows, takenAlong } from './dependents.ts'
import { detect, interrupted } from './detect.ts'
import { closeWrites, type Fences, openWriters } from './fences.ts'
import { readIntent } from './intents.ts'
import { type Loaded, type LoadedItem, loadBatch, type Meeting, nextRows } from './load.ts'
import { columnMarks, layoutChanges, openPairSides } from './open.ts'
import { breakSwings, rememberWrite } from './oscillation.ts'
import type { ColumnMarks } from './pair-sides.ts'
import { type PairSides, rowCells } from './pair-sides.ts'
import { aloneId, type HeldBack, heldBackByReferences } from './references.ts'
import { RefusedRows } from './refused-rows.ts'
import { fencesOfOthers, replacedSide } from './replaced-side.ts'
import { StandingConflicts } from './standing-conflicts.ts'

/** The hold under which a run may write. */
export interface RunLease {
  readonly run: string
  readonly generation: number
  /** Which try of the run this is: its batches have names of their own. */
  readonly attempt: number
  /** Shared by the tries of a run. */
  readonly fences: Fences
  /** What a reference stands in the way of waits, however often it was refused. */
  readonly patient: boolean
}

/** How often a run tries an item again that somebody else changed at the same moment. */
const MAX_TRIES = 4

export async function run(sync: TwoWaySync, project: Project, tally: Tally, lease: RunLease): Promise<Settlement> {
  await using sides = await openPairSides(sync, project)
  const replaced = await replacedSide(sides)
  if (replaced !== null) throw replaced
  await using pairs = await project.store.pairs.run(sync.id)
  await using line = new Line(sides, pairs, tally, lease)
  await line.recover()
  await line.begin()
  const whole = await lastCameToItsEnd(sync, project, lease)
  const detected = await detect(sides, pairs.work, tally, { pairs, generation: lease.generation, whole })
  tally.enter('apply', (await pairs.work.count('writes')) || null)
  await line.work('writes')
  const deletes = line.deletes.left + line.deletes.right
  const released = await project.store.runs.released(sync.id)
  const held = sideNames.some((side) =>
    holds(sync.guard, {
      deletes: line.deletes[side],
      targetRows: detected.rows[side],
      sourceRows: detected.rows[otherSide(side)],
      released: released === null ? null : released - line.deletes[otherSide(side)],
    }),
  )
  if (held) await line.hold()
  else await line.drop()
  await line.finish(detected.cursors)
  return held ? { status: 'held', deletes } : { status: 'succeeded' }
}

/** Whether nothing has been written since the cursors that this run reads from, but what bases tell of. */
async function lastCameToItsEnd({ id }: TwoWaySync, { store }: Project, lease: RunLease): Promise<boolean> {
  if (lease.attempt > 1) return false
  const [last] = (await store.runs.list({ sync: id, limit: 2 })).filter((run) => run.id !== lease.run)
  if (last?.status === 'held') return last.heldDeletes !== null
  return last?.status === 'succeeded' || last?.error?.code === 'ROWS_REJECTED'
}

/** One run under way. */
class Line implements AsyncDisposable {
  readonly deletes: Record<SideName, number> = { left: 0, right: 0 }
  readonly #sides: PairSides
  readonly #pairs: PairRun
  readonly #tally: Tally
  readonly #lease: RunLease
  #writers: (Readonly<Record<SideName, Writer>> & AsyncDisposable) | null = null
  #batch = 0
  /** Something was written since the fences were raised. */
  #open = false
  /** Intents whose outcome is in the memory, so that the systems may forget it. */
  #settled: readonly string[] = []
  readonly #tries = new Map<number, number>()
  #heldBack: HeldBack = heldBackByReferences({ pairs: [], unpaired: [] })
  /** Pairs whose deletion the guard was asked about. */
  readonly #dropping = new Set<number>()
  #guarded = false
  /** Pairs whose row is left on one side only, and can't go there without rows that are to stay. */
  readonly #depended = new Set<number>()
  #columns: ColumnMarks | null = null
  #written = 0
  readonly #standing: StandingConflicts
  readonly #refused: RefusedRows

  constructor(sides: PairSides, pairs: PairRun, tally: Tally, lease: RunLease) {
    this.#sides = sides
    this.#pairs = pairs
    this.#tally = tally
    this.#lease = lease
    this.#standing = new StandingConflicts(sides, pairs, lease.run, tally.steps)
    this.#refused = new RefusedRows(tally.steps)
  }

  /** Takes writes into the memory that an earlier run asked for and did not live to see done. */
  async recover(): Promise<void> {
    const { memory } = this.#sides
    const intents = await memory.intents()
    if (intents.length === 0) return
    const writers = await this.#claim()
    const changes = new Changes(this.#sides, this.#lease.run)
    for (const { id, side, body } of intents) {
      const asked = readIntent(this.#sides, side, body)
      const results = (await writers[side].recall(id)) ?? []
      const ids = asked.writes.flatMap(({ pair }) => (pair === null ? [] : [pair]))
      const pairs = new Map((await memory.byIds(ids)).map((pair) => [pair.id, pair]))
      // A repair may have found the pairs of rows that were inserted.
      const origins = asked.writes.flatMap(({ keys }) => keys[otherSide(side)] ?? [])
      const paired = new Set((await memory.byKeys(otherSide(side), origins)).map((pair) => pair[otherSide(side)]))
      asked.writes.forEach((one, at) => {
        const result = results[at]
        const pair = one.pair === null ? null : (pairs.get(one.pair) ?? null)
        if (result?.status !== 'written' || (one.pair !== null && pair === null)) return
        if (one.pair === null && paired.has(one.keys[otherSide(side)] ?? '')) return
        takeResult(this.#sides, changes, one, result.row === null ? null : asked.row(result.row), pair)
        this.#count(one.kind)
      })
      changes.carried(id)
    }
    const change = changes.commit()
    await this.#pairs.commit(this.#lease.generation, isForgotten(this.#sides.state) ? withoutAgreement(change) : change)
    this.#open = true
    await this.#close()
  }

  /** A changed definition is on record before anything is kept in its terms. */
  async begin(): Promise<void> {
    const { memory, state, layout, afresh } = this.#sides
    const waiting = await memory.waiting()
    this.#heldBack = heldBackByReferences(waiting)
    this.#refused.begin(waiting)
    await this.#standing.closeStrays(this.#lease.generation)
    if (afresh === null) return
    // A system that needs tables of ours gets them before it is read: reading on must not meet another schema.
    await this.#claim()
    if (state.layouts.some(({ id }) => id === layout.id)) return
    const changed = layoutChanges(this.#sides)
    if (changed.length > 0) this.#tally.steps.schema(changed, true)
    const cursors = { left: null, right: null }
    await this.#pairs.finish(this.#lease.generation, { cursors, layouts: [...state.layouts, layout], runs: state.runs })
  }

  async work(phase: Phase): Promise<void> {
    const { sync, project } = this.#sides
    for (let rows = sync.batch.rows; ; ) {
      if (project.context.signal.aborted) throw interrupted(this.#sides)
      const works = await this.#pairs.work.next(phase, rows)
      if (works.length === 0) return
      // What there was no room for stays on the list until it is dealt with.
      const loaded = await loadBatch(this.#sides, this.#pairs.work, works)
      rows = nextRows(rows, loaded, sync.batch.rows)
      await this.#step(loaded, phase)
    }
  }

  /** What the guard let go. */
  async drop(): Promise<void> {
    this.#guarded = true
    await this.work('deletes')
    if (this.#dropping.size === 0) return
    await this.#tryRejected()
    await this.#keepDepended()
  }

  /** What still can't go without taking along rows that are to stay, though other syncs had their turn, counts as changed. */
  async #keepDepended(): Promise<void> {
    const { pairs } = await this.#sides.memory.waiting()
    const depended = pairs.filter(({ state, code }) => state === 'rejected' && code === 'DEPENDENTS_KEPT')
    for (const { pair } of depended) this.#depended.add(pair)
    await this.#pairs.work.add(depended.map(({ pair }) => ({ pair })))
    await this.work('writes')
    await this.work('deletes')
  }

  /** A row that is gone now may have stood in the way of what was refused: as long as some writes succeed, others may. */
  async #tryRejected(): Promise<void> {
    const { memory } = this.#sides
    const refused = (one: Pick<Pending | Unpaired, 'state' | 'code'>) =>
      one.state === 'rejected' || isHeldByReference(one)
    for (let before = -1; before !== this.#written; ) {
      before = this.#written
      const { pairs, unpaired } = await memory.waiting()
      await this.#pairs.work.add([
        ...pairs.filter(refused).map(({ pair }) => ({ pair })),
        ...unpaired.filter(refused).map(({ side, key, match }) => ({ side, key, match })),
      ])
      await this.work('writes')
      await this.work('deletes')
    }
  }

  /** Keeps the deletions for a later run. */
  async hold(): Promise<void> {
    const { sync } = this.#sides
    for (;;) {
      const works = await this.#pairs.work.next('deletes', sync.batch.rows)
      if (works.length === 0) return
      const changes = new Changes(this.#sides, this.#lease.run)
      for (const { pair } of works)
        if (pair !== null) changes.pend({ pair, state: 'held', code: 'GUARD_HELD', message: null })
      await this.#pairs.commit(this.#lease.generation, changes.commit())
      await this.#pairs.work.done(works)
    }
  }

  async finish(cursors: Readonly<Record<SideName, string | null>>): Promise<void> {
    const { memory, state, layout, sync, project } = this.#sides
    await this.#standing.putClashes(this.#lease.generation)
    await this.#standing.closeMatches(this.#lease.generation)
    await this.#standing.closeUndone(this.#lease.generation)
    await this.#close()
    const marks = this.#columns ?? this.#sides.columns
    const columns = { left: marks.left?.marks ?? {}, right: marks.right?.marks ?? {} }
    const layouts = [
      ...state.layouts.filter(({ id }) => id !== layout.id),
      { ...layout, complete: true, columns, others: fencesOfOthers(this.#sides) },
    ]
    await this.#pairs.finish(this.#lease.generation, { cursors, layouts, runs: state.runs + 1 })
    const waiting = await memory.waiting()
    const rejected = [...waiting.pairs, ...waiting.unpaired].filter((one) => one.state === 'rejected')
    this.#tally.setRejected(rejected.length)
    await project.store.pairs.journal.prune(sync.id, project.context.clock.now() - sync.journalDays * 86_400_000)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writers?.[Symbol.asyncDispose]()
  }

  async #claim(): Promise<Readonly<Record<SideName, Writer>>> {
    if (this.#writers !== null) return this.#writers
    this.#writers = await openWriters(this.#sides, this.#pairs, this.#lease.fences, this.#lease.generation)
    // A system that gets tables of ours, at the first claim, may count that as a change of its schema.
    const { fences } = this.#sides.state
    if (fences.left === null && fences.right === null) this.#columns = await columnMarks(this.#sides.collections)
    return this.#writers
  }

  /** What was written is in the memory: what is put back to a moment before has an older fence than is known then. */
  async #close(): Promise<void> {
    if (this.#writers === null || !this.#open) return
    this.#open = false
    await closeWrites(this.#pairs, this.#writers, this.#lease.fences, this.#lease.generation)
  }

  /** reconcile → apply → commit, for one batch. */
  async #step(loaded: Loaded, phase: Phase): Promise<void> {
    const { memory, pairing } = this.#sides
    const { generation, run } = this.#lease
    const changes = new Changes(this.#sides, run)
    const postponed: WorkItem[] = []
    const requests: Request[] = []
    for (const { side, key } of loaded.gone) changes.settle(side, key)
    const met = loaded.meetings.filter((meeting) => !this.#meet(changes, meeting))
    await this.#standing.putAmbiguous(changes, loaded.ambiguities)
    const dropped: Record<SideName, string[]> = { left: [], right: [] }
    for (const one of loaded.items) {
      const item = { ...one.item, depended: one.pair !== null && this.#depended.has(one.pair.id) }
      const decision = breakSwings(
        this.#sides,
        one,
        one.unreadable === null ? reconcile(item, pairing) : unreadable(one),
      )
      const drops = sideNames.filter((side) => decision[side]?.kind === 'delete')
      if (drops.length > 0 && phase === 'writes') this.#postpone(changes, one, drops, postponed, dropped)
      else requests.push(...this.#decided(changes, one, decision))
    }
    for (const side of sideNames) this.deletes[side] += deletedRows(await takenAlong(this.#sides, side, dropped[side]))
    if (requests.length > 0) this.#tally.applying()
    const done = requests.length === 0 ? nothingDone : await this.#apply(requests)
    const again = this.#take(changes, done.outcomes)
    for (const intent of done.intents) changes.carried(intent)
    const change = changes.commit()
    if (Object.values(change).some((part: readonly unknown[]) => part.length > 0))
      this.#tally.steps.conflicts(change.conflicts, await this.#pairs.commit(generation, change))
    this.#tally.applied()
    this.#refused.tell()
    this.#settled = done.intents
    this.#tally.add({ conflicts: changes.opened })
    await this.#pairs.work.postpone(postponed)
    const waits = new Set([...postponed, ...again])
    await this.#pairs.work.done(loaded.works.filter((work) => !waits.has(work)))
    // Rows that met and do not agree are pairs now, and decided about as such.
    if (met.length > 0) {
      const pairs = await memory.byKeys(
        'left',
        met.map(({ keys }) => keys.left),
      )
      await this.#pairs.work.add(pairs.map(({ id }) => ({ pair: id })))
    }
  }

  /** Deletions come last, and only those that the guard knows of. */
  #postpone(
    changes: Changes,
    { work, pair }: LoadedItem,
    drops: readonly SideName[],
    postponed: WorkItem[],
    dropped: Record<SideName, string[]>,
  ): void {
    if (pair === null) return
    const counted = this.#dropping.has(pair.id)
    if (this.#guarded && !counted) {
      changes.pend({ pair: pair.id, state: 'again', code: null, message: null })
      return
    }
    postponed.push(work)
    this.#dropping.add(pair.id)
    // What a reference held back last time was let go by the guard then.
    if (counted || this.#heldBack.deletions.has(pair.id)) return
    for (const side of drops) {
      this.deletes[side]++
      dropped[side].push(pair[side])
    }
  }

  async #apply(requests: readonly Request[]) {
    const writers = await this.#claim()
    this.#open = true
    const batch = `${this.#lease.run}.${this.#lease.attempt}-${String(this.#batch++).padStart(6, '0')}`
    return await applyRequests(
      this.#sides,
      this.#pairs,
      writers,
      this.#lease.generation,
      batch,
      requests,
      this.#settled,
    )
  }

  /** Makes two rows a pair. True when they agree in everything: then nothing is left to decide. */
  #meet(changes: Changes, { keys, rows }: Meeting): boolean {
    const { pairing } = this.#sides
    const decision = reconcile({ base: null, ...rows, held: new Map() }, pairing)
    const agree =
      decision.settled.length === pairing.fields.length && pairing.fields.every(({ references }) => references === null)
    const cells = {
      left: rowCells(this.#sides, pairing.left, rows.left),
      right: rowCells(this.#sides, pairing.right, rows.right),
    }
    changes.pair(keys, agree ? cells : null)
    if (agree) this.#tally.add({ unchanged: 1 })
    return agree
  }

  /** Takes down what a decision says, and returns the writes it asks for. */
  #decided(changes: Changes, one: LoadedItem, decision: Decision): Request[] {
    const { pair, item } = one
    if (pair !== null && one.moved !== null) {
      changes.draft(pair).changed = true
      changes.settle(one.moved, pair[one.moved])
    }
    if (decision.refused !== null) {
      this.#refuse(changes, one, decision.refused)
      return []
    }
    const rows = { left: item.left, right: item.right }
    const records = (by: (about: { readonly at: number | null }) => boolean): ConflictChange[] => {
      const part = { conflicts: decision.conflicts.filter(by), ended: decision.ended.filter(by) }
      return pair === null ? [] : conflictChanges(this.#sides, this.#lease.run, pair, part, one.conflicts, rows)
    }
    const writes = sideNames.filter((side) => decision[side] !== null)
    // What a write decides is on record once that write is done; what stays open, at once.
    for (const record of records(({ at }) => !writes.some((side) => decides(decision[side], at))))
      changes.conflict(record)
    if (pair === null) {
      if (decision.pair === 'part' || one.unpaired?.state === 'parted') {
        this.#keepAlone(changes, one, one.unpaired?.state === 'parted' ? 'parted' : 'alone')
        return []
      }
      if (decision.deferred && writes.length === 0) this.#keepAlone(changes, one, 'deferred')
    } else {
      this.#settlePair(changes, one, pair, decision)
    }
    if (writes.length === 0 && pair !== null) this.#tally.add({ unchanged: 1 })
    return writes.map((side) => {
      const action = decision[side] as Action
      return requestOf(
        this.#sides,
        one,
        side,
        action,
        records(({ at }) => decides(action, at)),
      )
    })
  }

  #settlePair(changes: Changes, one: LoadedItem, pair: NonNullable<LoadedItem['pair']>, decision: Decision): void {
    const { item } = one
    if (decision.pair !== 'keep') {
      changes.remove(pair)
      const there: SideName | null = item.left !== null ? 'left' : item.right !== null ? 'right' : null
      if (decision.pair === 'part' && there !== null) {
        const match = this.#sides.pairing.matchOf(there, item[there] ?? [])
        changes.keep({ side: there, key: pair[there], match, state: 'parted', code: null, message: null })
      }
      return
    }
    const draft = changes.draft(pair)
    for (const at of decision.settled) {
      if (item.left !== null) changes.base(draft, 'left', at, item.left[at] ?? null)
      if (item.right !== null) changes.base(draft, 'right', at, item.right[at] ?? null)
    }
    if (decision.deferred) changes.pend({ pair: pair.id, state: 'deferred', code: null, message: null })
    else changes.unpend(pair.id)
  }

  #keepAlone(changes: Changes, one: LoadedItem, state: 'alone' | 'parted' | 'deferred'): void {
    const side: SideName = one.keys.left === null ? 'right' : 'left'
    changes.keep({ side, key: one.keys[side] as string, match: one.match, state, code: null, message: null })
  }

  #refuse(
    changes: Changes,
    one: LoadedItem,
    { code, message }: { readonly code: string; readonly message: string },
  ): void {
    if (one.pair !== null) {
      const { id, left } = one.pair
      const state = this.#waits(code, this.#heldBack.pairs.has(id)) ? 'deferred' : 'rejected'
      if (state === 'rejected') this.#refused.add(id, { side: 'left', key: left, code })
      changes.pend({ pair: id, state, code, message })
      return
    }
    const side: SideName = one.keys.left === null ? 'right' : 'left'
    const key = one.keys[side] as string
    const state = this.#waits(code, this.#heldBack.alone.has(aloneId(side, key))) ? 'deferred' : 'rejected'
    if (state === 'rejected') this.#refused.add(null, { side, key, code })
    changes.keep({ side, key, match: one.match, state, code, message })
  }

  /** Other syncs may clear the way of a write that a reference refused; after they had their turn, it is rejected. */
  #waits(code: string, heldBack: boolean): boolean {
    return isHeldByReference({ code }) && (this.#lease.patient || !heldBack)
  }

  /** Takes results into the changes; returns the items to try again at once. */
  #take(changes: Changes, outcomes: readonly Outcome[]): WorkItem[] {
    const again: WorkItem[] = []
    for (const { request, result } of outcomes) {
      const { prepared, loaded } = request
      if (result.status === 'written') {
        rememberWrite(this.#sides, changes, prepared, loaded)
        takeResult(this.#sides, changes, prepared, result.row, loaded.pair)
        this.#count(prepared.kind)
      } else if (result.status === 'rejected') this.#refuse(changes, loaded, result)
      else {
        const tries = (this.#tries.get(loaded.work.seq) ?? 0) + 1
        this.#tries.set(loaded.work.seq, tries)
        if (tries < MAX_TRIES) again.push(loaded.work)
        else if (loaded.pair !== null) changes.pend({ pair: loaded.pair.id, state: 'again', code: null, message: null })
      }
    }
    return again
  }

  #count(kind: Action['kind']): void {
    this.#written++
    this.#tally.add(kind === 'insert' ? { inserted: 1 } : kind === 'update' ? { updated: 1 } : { deleted: 1 })
  }
}

/** Whether what both sides agreed on was forgotten since the last run. */
function isForgotten({ fences }: PairState): boolean {
  return fences.left === anyFence || fences.right === anyFence
}

/** Which rows belong together, and nothing of what they held when they were written. */
function withoutAgreement(change: PairCommit): PairCommit {
  return {
    ...change,
    insert: change.insert.map((pair) => ({ ...pair, layout: 0 })),
    update: change.update.map((pair) => ({ ...pair, layout: 0, recent: null })),
  }
}

/** Whether a write carries out what was decided about a field; null: about the row. */
function decides(action: Action | null, at: number | null): boolean {
  if (action?.kind === 'update') return action.cells.some((cell) => cell.at === at)
  return action !== null
}

const nothingDone = { outcomes: [] as readonly Outcome[], intents: [] as readonly string[] }

/** What can't be read is neither changed nor gone. */
function unreadable({ unreadable: reason }: LoadedItem): Decision {
  const code = reason !== null && isErrorCode(reason.code) ? reason.code : 'VALUE_REFUSED'
  const refused = new SyncError(code, reason?.message ?? 'the row can not be read')
  return { left: null, right: null, settled: [], conflicts: [], ended: [], pair: 'keep', deferred: false, refused }
}
