/** A two-way run under way: what its parts have in common. */
import type { Writer } from '../../connectors/connector.ts'
import type { Action } from '../../core/reconcile.ts'
import type { SideName } from '../../core/two-way.ts'
import type { PairRun } from '../../store/pairs.ts'
import type { Tally } from '../observe/run-counts.ts'
import { closeWrites, type Fences, openWriters } from './fences.ts'
import { columnMarks } from './open.ts'
import type { ColumnMarks, PairSides } from './pair-sides.ts'
import { type HeldBack, heldBackByReferences } from './references.ts'
import { RefusedRows } from './refused-rows.ts'
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

type Writers = Readonly<Record<SideName, Writer>> & AsyncDisposable

export class RunUnderWay implements AsyncDisposable {
  readonly sides: PairSides
  readonly pairs: PairRun
  readonly tally: Tally
  readonly lease: RunLease
  readonly standing: StandingConflicts
  readonly refused: RefusedRows
  /** What a reference held back before this run. */
  heldBack: HeldBack = heldBackByReferences({ pairs: [], unpaired: [] })
  /** Rows written so far. */
  written = 0
  #writers: Writers | null = null
  #columns: ColumnMarks | null = null
  /** Something was written since the fences were raised. */
  #open = false

  constructor(sides: PairSides, pairs: PairRun, tally: Tally, lease: RunLease) {
    this.sides = sides
    this.pairs = pairs
    this.tally = tally
    this.lease = lease
    this.standing = new StandingConflicts(sides, pairs, lease.run, tally.steps)
    this.refused = new RefusedRows(tally.steps)
  }

  /** Takes the fences of both sides, once. */
  async claim(): Promise<Writers> {
    if (this.#writers !== null) return this.#writers
    this.#writers = await openWriters(this.sides, this.pairs, this.lease.fences, this.lease.generation)
    // A system that gets tables of ours, at the first claim, may count that as a change of its schema.
    const { fences } = this.sides.state
    if (fences.left === null && fences.right === null) this.#columns = await columnMarks(this.sides.collections)
    return this.#writers
  }

  /** As `claim`, for writes: what becomes of them is taken in with `close`. */
  async claimForWrites(): Promise<Writers> {
    const writers = await this.claim()
    this.#open = true
    return writers
  }

  /** What was written is in the memory: what is put back to a moment before has an older fence than is known then. */
  async close(): Promise<void> {
    if (this.#writers === null || !this.#open) return
    this.#open = false
    await closeWrites(this.pairs, this.#writers, this.lease.fences, this.lease.generation)
  }

  /** Of the columns, as they are since both sides have our tables. */
  get columns(): ColumnMarks {
    return this.#columns ?? this.sides.columns
  }

  count(kind: Action['kind']): void {
    this.written++
    this.tally.add(kind === 'insert' ? { inserted: 1 } : kind === 'update' ? { updated: 1 } : { deleted: 1 })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writers?.[Symbol.asyncDispose]()
  }
}
