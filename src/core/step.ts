/** Active steps of a sync: actions that its runs do before and after the rows. */
import type { ErrorCode } from './error.ts'
import type { Counts } from './run.ts'
import type { SyncId } from './sync-id.ts'

/** An action of a connection. */
export interface Step<Run extends StartingRun = StartingRun> {
  readonly connection: string
  readonly action: string
  /** What the action gets; made of the run, where it is a function: then null means that there is nothing to do this time. */
  readonly input: StepInput<Run>
}

/** Anything but a function is what the action gets. */
export type StepInput<Run> = ((run: Run) => unknown) | object | string | number | boolean | null

/** What a step before the rows can know. */
export interface StartingRun {
  readonly sync: SyncId
  readonly run: string
  /** ISO 8601, in UTC. */
  readonly startedAt: string
}

/** What a step after them can know. */
export interface FinishedRun extends StartingRun, Counts {
  readonly durationMs: number
}

export interface Steps {
  readonly before: Step | null
  readonly after: Step<FinishedRun> | null
}

/** What became of an action. */
export interface ActionResult {
  readonly success: boolean
  readonly data?: unknown
  readonly error?: string
  /** Of the error: USAGE_INVALID, the input is not as it should be; nothing was begun. */
  readonly code?: ErrorCode
  /** Milliseconds. */
  readonly executionTime: number
}
