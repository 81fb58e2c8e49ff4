/** The connections of integrations as they were seen last, with the syncs they run: what lists and visibility are answered from. */
import { asSyncError } from '../../core/error.ts'
import type { Sync } from '../../core/sync.ts'
import type { SyncId } from '../../core/sync-id.ts'
import { type ConnectionOutline, type ConnectionStore, outlinesOf } from './connection-store.ts'
import { namesOf, partsOf, syncOf } from './handler-syncs.ts'
import type { Integrations } from './integrations.ts'

export interface KnownConnectionsOptions {
  readonly connections: ConnectionStore
  readonly integrations: Integrations
  readonly minutesBetweenSyncs: number
  /** Whether something else has this name and is meant by it. Default: nothing has. */
  readonly hides?: (id: string) => boolean
}

export class KnownConnections {
  readonly #options: KnownConnectionsOptions
  #all: ReadonlyMap<string, ConnectionOutline> = new Map()
  #hidden: readonly string[] = []

  constructor(options: KnownConnectionsOptions) {
    this.#options = options
  }

  get all(): readonly ConnectionOutline[] {
    return [...this.#all.values()]
  }

  /** Those whose names something else has. */
  get hidden(): readonly string[] {
    return this.#hidden
  }

  find(id: string): ConnectionOutline | null {
    return this.#all.get(id) ?? null
  }

  /** Looks again. */
  async look(): Promise<void> {
    const { connections, hides = () => false } = this.#options
    const found = await outlinesOf(connections)
    this.#all = new Map(found.flatMap((outline) => (hides(outline.id) ? [] : [[outline.id, outline]])))
    this.#hidden = found.flatMap(({ id }) => (hides(id) ? [id] : []))
  }

  /** What they run, as it is now; nothing of those whose integration is gone. */
  syncs(): readonly { readonly sync: Sync; readonly project: string | null }[] {
    return this.all.flatMap(({ id }) => this.syncsOf(id))
  }

  /** Null: no connection runs it. */
  sync(id: SyncId): { readonly sync: Sync; readonly project: string | null } | null {
    return this.syncsOf(partsOf(id)?.connectionId ?? '').find(({ sync }) => sync.id === id) ?? null
  }

  /** Of one connection. */
  syncsOf(id: string): readonly { readonly sync: Sync; readonly project: string | null }[] {
    const { integrations, minutesBetweenSyncs } = this.#options
    const connection = this.find(id)
    if (connection === null) return []
    try {
      return namesOf(connection, integrations).map((name) => ({
        sync: syncOf(connection, name, integrations, minutesBetweenSyncs),
        project: connection.project ?? null,
      }))
    } catch (error) {
      if (asSyncError(error).code === 'INTERNAL') throw error
      return []
    }
  }
}
