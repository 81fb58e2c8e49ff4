/** What the engine works with: a project's open connections, its store and the world outside. */
import type { Connection, Context } from '../connectors/connector.ts'
import type { StepEvent } from '../core/event.ts'
import type { RunEvent } from '../core/run.ts'
import type { ActionResult } from '../core/step.ts'
import type { Store } from '../store/store.ts'

export interface Project {
  readonly id: string
  readonly store: Store
  readonly context: Context
  /** Opens the connection on first use; the same one afterwards. */
  connection(name: string): Promise<Connection>
  /** Gives up an open connection, so that the next use opens it anew. */
  reconnect(name: string): Promise<void>
  /** Connections that a run gave up because nobody answered: until one gets through, the others don't wait for them in turn. */
  readonly unreachable: Set<string>
  readonly emit: (event: RunEvent) => void
  /** Absent: nobody asks for the steps of runs. */
  readonly emitStep?: (event: StepEvent) => void
  /** Does what steps of syncs ask for. Absent: nothing here can. */
  readonly act?: Act
}

/** Executes an action of a connection, until the signal; throws where it can't begin, and tells a failure in the result. */
export type Act = (connection: string, action: string, input: unknown, signal: AbortSignal) => Promise<ActionResult>
