/** Deletions of a two-way run: they come last, and only those that the guard knows of. */
import { isHeldByReference } from '../../connectors/connector.ts'
import { holds } from '../../core/guard.ts'
import { otherSide, type SideName, sideNames } from '../../core/two-way.ts'
import type { Pending, Phase, Unpaired, WorkItem } from '../../store/pairs.ts'
import { Changes } from './changes.ts'
import { deletedRows, takenAlong } from './dependents.ts'
import type { LoadedItem } from './load.ts'
import type { RunUnderWay } from './under-way.ts'

/** Works through what is marked for a phase. */
type Work = (phase: Phase) => Promise<void>

export class Deletions {
  /** How many rows each side would lose, with those that go along by references. */
  readonly counts: Record<SideName, number> = { left: 0, right: 0 }
  readonly #run: RunUnderWay
  /** Pairs whose deletion the guard was asked about. */
  readonly #dropping = new Set<number>()
  #guarded = false
  /** Pairs whose row is left on one side only, and can't go there without rows that are to stay. */
  readonly #depended = new Set<number>()

  constructor(run: RunUnderWay) {
    this.#run = run
  }

  get total(): number {
    return this.counts.left + this.counts.right
  }

  /** Whether the guard holds them. `rows`: what each side holds. */
  async areHeld(rows: Readonly<Record<SideName, number>>): Promise<boolean> {
    const { sync, project } = this.#run.sides
    const released = await project.store.runs.released(sync.id)
    return sideNames.some((side) =>
      holds(sync.guard, {
        deletes: this.counts[side],
        targetRows: rows[side],
        sourceRows: rows[otherSide(side)],
        released: released === null ? null : released - this.counts[otherSide(side)],
      }),
    )
  }

  /** Whether a pair's row can't go without rows that are to stay. */
  isDepended({ pair }: LoadedItem): boolean {
    return pair !== null && this.#depended.has(pair.id)
  }

  /** What the guard let go. */
  async drop(work: Work): Promise<void> {
    this.#guarded = true
    await work('deletes')
    if (this.#dropping.size === 0) return
    await this.#tryRejected(work)
    await this.#keepDepended(work)
  }

  /** What still can't go without taking along rows that are to stay, though other syncs had their turn, counts as changed. */
  async #keepDepended(work: Work): Promise<void> {
    const { pairs } = await this.#run.sides.memory.waiting()
    const depended = pairs.filter(({ state, code }) => state === 'rejected' && code === 'DEPENDENTS_KEPT')
    for (const { pair } of depended) this.#depended.add(pair)
    await this.#run.pairs.work.add(depended.map(({ pair }) => ({ pair })))
    await work('writes')
    await work('deletes')
  }

  /** A row that is gone now may have stood in the way of what was refused: as long as some writes succeed, others may. */
  async #tryRejected(work: Work): Promise<void> {
    const { memory } = this.#run.sides
    const refused = (one: Pick<Pending | Unpaired, 'state' | 'code'>) =>
      one.state === 'rejected' || isHeldByReference(one)
    for (let before = -1; before !== this.#run.written; ) {
      before = this.#run.written
      const { pairs, unpaired } = await memory.waiting()
      await this.#run.pairs.work.add([
        ...pairs.filter(refused).map(({ pair }) => ({ pair })),
        ...unpaired.filter(refused).map(({ side, key, match }) => ({ side, key, match })),
      ])
      await work('writes')
      await work('deletes')
    }
  }

  /** Keeps the deletions for a later run. */
  async hold(): Promise<void> {
    const { sync } = this.#run.sides
    for (;;) {
      const works = await this.#run.pairs.work.next('deletes', sync.batch.rows)
      if (works.length === 0) return
      const changes = new Changes(this.#run.sides, this.#run.lease.run)
      for (const { pair } of works)
        if (pair !== null) changes.pend({ pair, state: 'held', code: 'GUARD_HELD', message: null })
      await this.#run.pairs.commit(this.#run.lease.generation, changes.commit())
      await this.#run.pairs.work.done(works)
    }
  }

  /** One that the guard was not asked about waits for the next run. `dropped`: keys of rows that are to go, by side. */
  postpone(
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
    if (counted || this.#run.heldBack.deletions.has(pair.id)) return
    for (const side of drops) {
      this.counts[side]++
      dropped[side].push(pair[side])
    }
  }

  /** What goes along with these rows by references counts, too. */
  async countAlong(dropped: Readonly<Record<SideName, readonly string[]>>): Promise<void> {
    for (const side of sideNames)
      this.counts[side] += deletedRows(await takenAlong(this.#run.sides, side, dropped[side]))
  }
}
