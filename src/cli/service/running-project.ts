/** A project that runs by itself: what its config says, what calls of the API made, and one service that runs all of it. */
import { hostname } from 'node:os'
import { join } from 'node:path'
import { actingIn } from '../../config/acting.ts'
import { ConfigDefinitions } from '../../config/definitions.ts'
import { type Expansion, expandSyncs } from '../../config/expand.ts'
import type { LoadedConfig } from '../../config/load.ts'
import { actingNamed } from '../../config/made.ts'
import { connectionsNamed } from '../../config/schema.ts'
import type { Context } from '../../connectors/connector.ts'
import { asSyncError, SyncError } from '../../core/error.ts'
import type { Log } from '../../core/log.ts'
import type { SyncId } from '../../core/sync-id.ts'
import { placesOf } from '../../core/two-way.ts'
import { systemClock } from '../../engine/clock.ts'
import { formerlyOthers, type MadeSync, madeOf, madeSync, madeSyncs } from '../../engine/connections/api-syncs.ts'
import { type Catalogue, openCatalogue } from '../../engine/connections/catalogue.ts'
import { rowsPlace } from '../../engine/connections/collected-rows-place.ts'
import { KnownConnections } from '../../engine/connections/connection-cache.ts'
import { ConnectionPool } from '../../engine/connections/connection-pool.ts'
import { Connected } from '../../engine/connections/connection-service.ts'
import { connectionVersion, connectionVersions, StoredConnections } from '../../engine/connections/connection-store.ts'
import { gatheredBy, partsOf } from '../../engine/connections/handler-syncs.ts'
import { Integrations } from '../../engine/connections/integrations.ts'
import type { Events } from '../../engine/observe/events.ts'
import { Webhooks } from '../../engine/observe/outgoing-webhooks.ts'
import { SharedEvents } from '../../engine/observe/shared-events.ts'
import { type Operations, projectOf } from '../../engine/operations.ts'
import { permitting } from '../../engine/queue/permit.ts'
import type { OwnedProject } from '../../engine/queue/project-pool.ts'
import { Service } from '../../engine/queue/service.ts'
import type { Definitions } from '../../engine/queue/sync-job.ts'
import { storeUrl } from '../../store/open.ts'
import type { RecordStore } from '../../store/records.ts'
import { MINUTES_BETWEEN_SYNCS } from '../project/lazy-connections.ts'
import { type OpenProject, readConfig } from '../project/open-project.ts'
import { openVault } from '../project/open-vault.ts'
import { locate } from '../project/stored-connections.ts'
import type { Shell } from '../terminal/shell.ts'
import { openOperations } from './project-operations.ts'

/** What other processes changed is seen this late in lists. */
const STALE_MS = 1000

export interface RunningOptions {
  readonly shell: Shell
  readonly opened: OpenProject
  readonly events: Events
  readonly concurrency: number
  readonly log: Log
  /** Ends actions and flows that go on. */
  readonly signal: AbortSignal
}

export class RunningProject {
  readonly service: Service
  readonly webhooks: Webhooks
  readonly sharedEvents: SharedEvents
  readonly #options: RunningOptions
  readonly #shared: boolean
  readonly #context: Context
  readonly #definitions: ConfigDefinitions
  readonly #integrations: Integrations
  readonly #connected: Connected
  readonly #known: KnownConnections
  readonly #catalogue: Catalogue | null
  #config: LoadedConfig
  /** The syncs that calls of the API made, when they were last taken up. */
  #made: readonly MadeSync[] = []
  /** Of stored connections, then. */
  #versions: ReadonlyMap<string, number> = new Map()
  #reloading: Promise<unknown> = Promise.resolve()
  /** By definition: what was told of it last. */
  readonly #told = new Map<string, string>()
  #toldOfReload = ''
  #caughtUpAt = Number.NEGATIVE_INFINITY
  #operations: Operations | null = null

  constructor(options: RunningOptions) {
    const { shell, opened, events, concurrency, log } = options
    const { store, context } = opened.project
    this.#options = options
    this.#config = opened.config
    this.#integrations = new Integrations([], locate)
    this.#shared = storeUrl(shell.environment) !== null
    const redact = (text: string) => this.#connected.redact(context.redact?.(text) ?? text)
    // Handlers may log what they know.
    this.#context = { ...context, redact, log: (message, severity) => log(redact(message), severity) }
    const vault = openVault(store, opened.config.folder, shell.environment)
    const parts = {
      connections: new StoredConnections(store.records, vault, log),
      integrations: this.#integrations,
      minutesBetweenSyncs: MINUTES_BETWEEN_SYNCS,
    }
    this.#known = new KnownConnections({ ...parts, hides: (id) => this.#config.connections.has(id) })
    this.#connected = new Connected({
      ...{ ...parts, store, vault, events, context: { ...this.#context, signal: options.signal } },
      limiter: opened.limiter,
      rows: rowsPlace(store, join(opened.config.folder, '.syncline', 'collections')),
      acting: (id) => actingIn(this.#config, id),
      taken: async (id, project) =>
        this.#config.connections.has(id) ||
        this.#config.syncs.some(({ name }) => name === id) ||
        (await madeSync(store.records, id)) !== null ||
        (await formerlyOthers(store.records, id, project)),
      reconsider: (id, there) => this.service.reconsider(id, there),
      changed: async () => {
        this.service.wake()
        await this.#known.look()
        // What syncs use may be another place now. Not waited for: this may be part of a reload, which others wait for.
        if (this.#config.kept.size > 0) void this.#reloadMade()
      },
    })
    this.#definitions = new ConfigDefinitions(opened.config, (name) => this.#discover(name))
    this.service = new Service({
      ...{ store, clock: systemClock, random: Math.random, events, concurrency, log },
      definitions: this.#allDefinitions(),
      makeProject: (signal) => this.#makeProject(signal),
      worker: `${hostname()}:${process.pid}`,
    })
    this.#catalogue = openCatalogue(shell.environment, { clock: systemClock, signal: options.signal, log })
    this.sharedEvents = new SharedEvents({
      ...{ events, clock: systemClock, log, topic: async () => store.topic ?? null },
      catchUp: () => this.#catchUp(),
    })
    this.webhooks = new Webhooks({
      ...{ records: store.records, events, vault, clock: systemClock, random: Math.random, log },
      projectOf: (event) => (this.#operations === null ? null : projectOf(event, this.#operations)),
    })
  }

  get config(): LoadedConfig {
    return this.#config
  }

  /** Reads what there is, and schedules it. Says how many syncs that are. */
  async begin(): Promise<number> {
    const { opened, events } = this.#options
    // On a shared store the look below compares, as somebody may have made one since the config was read.
    if (!this.#shared) this.#made = await madeSyncs(opened.project.store.records)
    this.#operations = openOperations({
      ...{ store: opened.project.store, service: this.service, events, webhooks: this.webhooks },
      ...{ definitions: this.#definitions, connected: this.#connected, integrations: this.#integrations },
      ...{ known: this.#known, catalogue: this.#catalogue, sharedEvents: this.sharedEvents },
      ...{ config: () => this.#config, made: () => this.#made, limiter: opened.limiter },
      makeProject: (signal) => this.#makeProject(signal),
      reload: async () => void (await this.reload()),
      catchUp: () => this.#catchUp(),
      tryMade: async (made) => {
        const config = await readConfig(this.#options.shell, true, made)
        return await expandSyncs(config, [], (name) => this.#discover(name))
      },
    })
    const { sync } = this.#operations
    events.guard(permitting(() => this.#config.permit, sync))
    await this.#takeUpIntegrations()
    this.#catalogue?.refresh()
    return await this.look()
  }

  get connected(): Connected {
    return this.#connected
  }

  get operations(): Operations {
    if (this.#operations === null) throw new SyncError('INTERNAL', 'the project has not begun')
    return this.#operations
  }

  /** Looks again what patterns match, and what other processes have made. */
  async look(): Promise<number> {
    await this.#known.look()
    await this.#takeUpMade()
    return await this.#take(await this.#definitions.refresh())
  }

  /** Takes up what the config file and the store say now. */
  async reload(): Promise<number> {
    return await this.#afterOthers(() => this.#readAgain('all'))
  }

  async #afterOthers(read: () => Promise<number>): Promise<number> {
    const next = this.#reloading.catch(() => {}).then(read)
    this.#reloading = next
    return await next
  }

  /** `syncs`: nothing is done about integrations and their connections. */
  async #readAgain(what: 'all' | 'syncs'): Promise<number> {
    // Before the config: what changes meanwhile is seen as another change.
    const { records } = this.#options.opened.project.store
    const [made, versions] = [
      await madeSyncs(records),
      this.#shared ? await connectionVersions(records) : this.#versions,
    ]
    this.#config = await readConfig(this.#options.shell, true)
    this.#made = made
    this.#versions = versions
    if (what === 'all') await this.#takeUpIntegrations()
    await this.service.renew()
    return await this.#take(await this.#definitions.replace(this.#config))
  }

  async #takeUpIntegrations(): Promise<void> {
    await this.#connected.replace(this.#config.connectors, this.#config.integrations)
    await this.#known.look()
  }

  async #take({ syncs, failures, leftOut }: Expansion): Promise<number> {
    const { log } = this.#options
    const wrong = new Map(failures.map(({ name, error }) => [name, error.message]))
    for (const { name, error } of leftOut) wrong.set(name, `left out: ${error.message}`)
    for (const id of this.#known.hidden)
      wrong.set(`connection ${id}`, 'the one made by the API is set aside: the config file has one of that name')
    for (const [name, message] of wrong) if (this.#told.get(name) !== message) log(`${name}: ${message}`, 'warn')
    this.#told.clear()
    for (const [name, message] of wrong) this.#told.set(name, message)
    await this.service.schedule(
      syncs,
      failures.map(({ name }) => name),
    )
    return syncs.length + this.#known.syncs().length
  }

  /** Other servers on the store make syncs and connections, too. */
  async #catchUp(): Promise<void> {
    if (!this.#shared || systemClock.now() - this.#caughtUpAt < STALE_MS) return
    this.#caughtUpAt = systemClock.now()
    await this.#known.look()
    await this.#takeUpMade()
  }

  async #takeUpMade(): Promise<void> {
    if (!this.#shared) return
    const { records } = this.#options.opened.project.store
    const now = await madeSyncs(records)
    if (JSON.stringify(now) !== JSON.stringify(this.#made) || (await this.#moved(records))) await this.#reloadMade()
  }

  /**
   * Whether a connection that syncs made by the API use has come, gone or changed since they were taken up. One that can't be read stays as it
   * is until somebody changes it.
   */
  async #moved(records: RecordStore): Promise<boolean> {
    const { kept } = this.#config
    if (kept.size === 0) return false
    const now = await connectionVersions(records)
    return [...kept.keys()].some((name) => now.get(name) !== this.#versions.get(name))
  }

  /** What another process made or changed is run as it is now. */
  async #takeUpDefinition(id: SyncId): Promise<void> {
    if (!this.#shared) return
    const { records } = this.#options.opened.project.store
    const known = madeOf(this.#made, id) ?? null
    const now = await madeSync(records, known?.name ?? id.split('/')[0] ?? id)
    if (JSON.stringify(now) !== JSON.stringify(known)) return await this.#reloadMade()
    const names = now === null ? [] : [...connectionsNamed(now.definition), ...actingNamed(now.definition)]
    for (const name of names) {
      if (!this.#config.kept.has(name)) continue
      if ((await connectionVersion(records, name)) !== this.#versions.get(name)) return await this.#reloadMade()
    }
  }

  /** A config file with a mistake in it keeps nothing from running: it is told once, and tried again. */
  async #reloadMade(): Promise<void> {
    try {
      await this.#afterOthers(() => this.#readAgain('syncs'))
      this.#toldOfReload = ''
    } catch (error) {
      const { message } = asSyncError(error)
      if (message !== this.#toldOfReload) this.#options.log(`what the API made is not taken up: ${message}`, 'warn')
      this.#toldOfReload = message
    }
  }

  /** Those of the config, those made by the API, and those of connections. */
  #allDefinitions(): Definitions {
    const own = this.#definitions
    const gathers = (sync: Parameters<Definitions['lasting']>[0]) => gatheredBy(placesOf(sync)[1].connection) !== null
    return {
      find: async (id) => {
        await this.#takeUpDefinition(id)
        const known = own.known(id)
        const hidden = this.#config.connections.has(partsOf(id)?.connectionId ?? '')
        if (known !== null || hidden || !(await this.#connected.knows(id))) return known ?? (await own.find(id))
        return await this.#connected.definition(id).catch((error: unknown) => {
          throw withoutIntegration(error, id)
        })
      },
      exclusive: (sync) => (gathers(sync) ? [placesOf(sync)[1].connection] : own.exclusive(sync)),
      // What the API made may be changed there at any time.
      lasting: (sync) => placesOf(sync).every(({ connection }) => this.#config.connections.has(connection)),
      project: ({ id }) => this.#operations?.sync(id)?.project ?? null,
    }
  }

  async #discover(name: string) {
    await using project = this.#makeProject(null)
    return await (await project.connection(name)).discover()
  }

  /** A project with connections of its own, for one run at a time. */
  #makeProject(signal: AbortSignal | null): OwnedProject {
    const { project } = this.#options.opened
    const { connections } = this.#config
    const context =
      signal === null ? this.#context : { ...this.#context, signal: AbortSignal.any([signal, this.#context.signal]) }
    const openers = {
      get: (name: string) => connections.get(name) ?? this.#connected.opener(name),
      keys: () => connections.keys(),
    }
    const pool = new ConnectionPool(openers, context, this.#options.opened.limiter)
    return {
      ...project,
      context,
      unreachable: new Set(),
      act: (connection, action, input, ending) => this.#connected.execute(connection, action, input, null, ending),
      connection: (name) => pool.get(name),
      reconnect: (name) => pool.close(name),
      [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
    }
  }
}

/** The config says all integrations there are: one that is not in it will not come. */
function withoutIntegration(error: unknown, id: string): SyncError {
  const known = asSyncError(error)
  if (known.code !== 'INTEGRATION_UNKNOWN') return known
  return new SyncError('SYNC_UNKNOWN', `sync ${id} does not run: ${known.message}`)
}
