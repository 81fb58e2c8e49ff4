/** The syncs of a config as the service asks for them: by name, expanded, and again when the sources or the config have changed. */
import type { SyncError } from '../core/error.ts'
import type { SyncId } from '../core/sync-id.ts'
import { type AnySync, placesOf } from '../core/two-way.ts'
import type { Definitions } from '../engine/queue/sync-job.ts'
import { builtIn } from './connectors.ts'
import { type Discover, type Expansion, expandSyncs, unknownSync } from './expand.ts'
import type { ProjectConfig } from './project-config.ts'
import { traitsOf } from './schema.ts'

export class ConfigDefinitions implements Definitions {
  #config: ProjectConfig
  readonly #discover: Discover
  #known: ReadonlyMap<SyncId, AnySync> = new Map()
  #failures: ReadonlyMap<string, SyncError> = new Map()

  constructor(config: ProjectConfig, discover: Discover) {
    this.#config = config
    this.#discover = discover
  }

  /** All syncs there are now. Of a pattern whose source can't be read, those known before stay. */
  async refresh(): Promise<Expansion> {
    const expansion = await expandSyncs(this.#config, [], this.#discover)
    const failed = expansion.failures.map(({ name }) => name)
    const kept = [...this.#known].filter(([id]) => failed.some((name) => id.startsWith(`${name}/`)))
    this.#known = new Map([...kept, ...expansion.syncs.map((sync) => [sync.id, sync] as const)])
    this.#failures = new Map(expansion.failures.map(({ name, error }) => [name, error]))
    return { ...expansion, syncs: [...this.#known.values()] }
  }

  /** From now on, what another config says. */
  async replace(config: ProjectConfig): Promise<Expansion> {
    this.#config = config
    return await this.refresh()
  }

  get all(): readonly AnySync[] {
    return [...this.#known.values()]
  }

  async find(id: SyncId): Promise<AnySync> {
    if (!this.#known.has(id)) await this.refresh()
    const known = this.#known.get(id)
    if (known !== undefined) return known
    const [pattern = ''] = id.split('/')
    throw this.#failures.get(pattern) ?? unknownSync(id, [...this.#known.keys()])
  }

  /** Null: there was none of that name when it was last looked. */
  known(id: SyncId): AnySync | null {
    return this.#known.get(id) ?? null
  }

  /** What keeps the definition of this name, or of this pattern's, from being expanded; null: nothing. */
  failure(id: SyncId): SyncError | null {
    return this.#failures.get(id.split('/')[0] ?? id) ?? null
  }

  lasting(): boolean {
    return true
  }

  project(): string | null {
    return null
  }

  exclusive(sync: AnySync): readonly string[] {
    const setups = placesOf(sync).flatMap(({ connection }) => traitsOf(this.#config, connection) ?? [])
    const exclusive = setups.filter(({ system }) => builtIn(system).exclusive)
    return [...new Set(exclusive.map(({ identity }) => identity))]
  }
}
