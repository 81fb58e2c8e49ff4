/** Counting what a run does, and telling about it at a bearable rate. */
import type { Context } from '../../connectors/connector.ts'
import type { SyncError } from '../../core/error.ts'
import { type Counts, type Phase, zeroCounts } from '../../core/run.ts'
import { noStepEvents, type StepEvents } from './step-events.ts'

const PROGRESS_EVERY_MS = 200

/** The counts of one run, over all its attempts. */
export class Tally {
  #counts: Counts = zeroCounts
  #phase: Phase = 'follow'
  #total: number | null = null
  #toldAt = 0
  readonly steps: StepEvents
  #ended: SyncError | null = null
  readonly #context: Context
  readonly #tell: (phase: Phase, total: number | null, counts: Counts) => void

  constructor(
    context: Context,
    tell: (phase: Phase, total: number | null, counts: Counts) => void,
    steps: StepEvents = noStepEvents,
  ) {
    this.#context = context
    this.#tell = tell
    this.steps = steps
  }

  get counts(): Counts {
    return this.#counts
  }

  /** The run is over without whoever still counts here: `check` throws from now on. */
  end(error: SyncError): void {
    this.#ended = error
  }

  /** To be called before anything becomes durable. */
  check(): void {
    if (this.#ended !== null) throw this.#ended
  }

  /** A new stretch of work with its expected number of rows. */
  enter(phase: Phase, total: number | null): void {
    this.#phase = phase
    this.#total = total
    this.#toldAt = 0
    this.add({})
  }

  /** Adds to the counts; `rejected` is set, not added. */
  add(more: Partial<Omit<Counts, 'rejected'>>): void {
    this.check()
    const counts = this.#counts
    this.#counts = {
      read: counts.read + (more.read ?? 0),
      inserted: counts.inserted + (more.inserted ?? 0),
      updated: counts.updated + (more.updated ?? 0),
      deleted: counts.deleted + (more.deleted ?? 0),
      unchanged: counts.unchanged + (more.unchanged ?? 0),
      rejected: counts.rejected,
      lossy: counts.lossy + (more.lossy ?? 0),
      conflicts: counts.conflicts + (more.conflicts ?? 0),
    }
    const now = this.#context.clock.now()
    if (now - this.#toldAt < PROGRESS_EVERY_MS) return
    this.#toldAt = now
    this.#tell(this.#phase, this.#total, this.#counts)
  }

  /** To be called before a batch is written. */
  applying(): void {
    this.check()
    this.steps.applying(this.#counts)
  }

  /** To be called when it is durable and counted. */
  applied(): void {
    this.steps.applied(this.#counts)
  }

  setRejected(rejected: number): void {
    this.#counts = { ...this.#counts, rejected }
  }
}
