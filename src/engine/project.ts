/** What the engine works with: a project's open connections, its store and the world outside. */
import type { Connection, Context } from '../connectors/connector.ts'
import type { RunEvent } from '../core/run.ts'
import type { Store } from '../store/store.ts'

export interface Project {
  readonly id: string
  readonly store: Store
  readonly context: Context
  /** Opens the connection on first use; the same one afterwards. */
  connection(name: string): Promise<Connection>
  /** Gives up an open connection, so that the next use opens it anew. */
  reconnect(name: string): Promise<void>
  readonly emit: (event: RunEvent) => void
}
