/** What commands reach through integrations without the service: actions for the steps of syncs, and the syncs of connections. */
import { join } from 'node:path'
import type { LoadedConfig } from '../../config/load.ts'
import type { Context } from '../../connectors/connector.ts'
import type { Sync } from '../../core/sync.ts'
import type { SyncId } from '../../core/sync-id.ts'
import { placesOf } from '../../core/two-way.ts'
import type { Limiter } from '../../engine/calls/rate-limiter.ts'
import type { Opener } from '../../engine/connections/connection-pool.ts'
import type { Connected } from '../../engine/connections/connection-service.ts'
import type { ConnectionStore } from '../../engine/connections/connection-store.ts'
import type { Integrations } from '../../engine/connections/integrations.ts'
import type { Act } from '../../engine/project.ts'
import type { Store } from '../../store/store.ts'
import type { Environment } from './open-vault.ts'

/** For syncs of connections that say nothing else. */
export const MINUTES_BETWEEN_SYNCS = 15

interface Reached {
  readonly connected: Connected
  readonly connections: ConnectionStore
  readonly integrations: Integrations
}

/** Loaded by the first step, and by the first name that is not one of the config: few commands need it. */
export class Reach implements AsyncDisposable {
  readonly #config: LoadedConfig
  readonly #open: () => Promise<Reached>
  #opened: Promise<Reached> | null = null
  #connected: Connected | null = null
  /** The connections of what was found, with their projects. */
  readonly #found = new Map<string, string | null>()

  constructor(config: LoadedConfig, store: Store, context: Context, limiter: Limiter, environment: Environment) {
    this.#config = config
    this.#open = () => open(config, store, context, limiter, environment)
  }

  readonly act: Act = async (connection, action, input, signal) =>
    await (await this.#reached()).connected.execute(connection, action, input, null, signal)

  /**
   * The syncs of a connection that have this name, `acme/contacts`, or that of the connection: then all of its. Null: it names nothing of a
   * connection. SYNC_UNKNOWN, INTEGRATION_UNKNOWN.
   */
  async find(name: SyncId): Promise<readonly Sync[] | null> {
    if (this.#config.syncs.some((setup) => name === setup.name || name.startsWith(`${setup.name}/`))) return null
    const { connections, integrations } = await this.#reached()
    const [{ outlineOf }, { namesOf, partsOf, syncOf }, { nothingNamed }] = await loaded()
    const id = partsOf(name)?.connectionId ?? name
    const connection = await outlineOf(connections, id)
    if (connection === undefined) return null
    const all = namesOf(connection, integrations).map((one) =>
      syncOf(connection, one, integrations, MINUTES_BETWEEN_SYNCS),
    )
    const syncs = name === id ? all : all.filter((sync) => sync.id === name)
    const ids = all.map((sync) => sync.id)
    if (syncs.length === 0) throw nothingNamed('sync', name, ids)
    for (const place of syncs.flatMap(placesOf)) this.#found.set(place.connection, connection.project ?? null)
    return syncs
  }

  /** A connection of a sync that was found, or one that a sync made by the API uses; undefined: it is none of those. */
  opener(name: string): Opener | undefined {
    if (!this.#found.has(name) && !this.#config.kept.has(name)) return undefined
    return { open: async (context) => await (await this.#reached()).connected.opener(name).open(context) }
  }

  /** Whose a connection of a sync that was found is; undefined: it is none of those. */
  projectOf(connection: string): string | null | undefined {
    return this.#found.get(connection)
  }

  /** Of the connections that were opened. */
  get secrets(): Iterable<string> {
    return this.#connected?.secrets ?? []
  }

  /** Takes the secrets of connections out of a text. */
  redact(text: string): string {
    return this.#connected?.redact(text) ?? text
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connected?.[Symbol.asyncDispose]()
  }

  async #reached(): Promise<Reached> {
    this.#opened ??= this.#open()
    const reached = await this.#opened
    this.#connected = reached.connected
    return reached
  }
}

function loaded() {
  return Promise.all([
    import('../../engine/connections/connection-store.ts'),
    import('../../engine/connections/handler-syncs.ts'),
    import('../../engine/connections/integrations.ts'),
  ])
}

async function open(
  config: LoadedConfig,
  store: Store,
  context: Context,
  limiter: Limiter,
  environment: Environment,
): Promise<Reached> {
  const [
    { Connected },
    { StoredConnections },
    { Events },
    { permitting },
    { rowsPlace },
    { openVault },
    { actingIn },
    { integrationsOf },
  ] = await Promise.all([
    import('../../engine/connections/connection-service.ts'),
    import('../../engine/connections/connection-store.ts'),
    import('../../engine/observe/events.ts'),
    import('../../engine/queue/permit.ts'),
    import('../../engine/connections/collected-rows-place.ts'),
    import('./open-vault.ts'),
    import('../../config/acting.ts'),
    import('./stored-connections.ts'),
  ])
  const vault = openVault(store, config.folder, environment)
  const events = new Events(context.log)
  events.guard(
    permitting(
      () => config.permit,
      () => null,
    ),
  )
  const integrations = integrationsOf(config)
  const connections = new StoredConnections(store.records, vault, context.log)
  const connected = new Connected({
    ...{ store, vault, context, integrations, events, connections },
    limiter,
    acting: (id) => actingIn(config, id),
    rows: rowsPlace(store, join(config.folder, '.syncline', 'collections')),
    minutesBetweenSyncs: MINUTES_BETWEEN_SYNCS,
    changed: async () => {},
  })
  return { connected, connections, integrations }
}
