/** The engine for embedders: connectors, integrations and connections in code; schedules, runs and history in a store. */
import { mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Connection, Context } from '../connectors/connector.ts'
import type { AnyConnector, Flow, Handle, OAuth } from '../connectors/kit.ts'
import { sqlite } from '../connectors/sqlite/index.ts'
import { type ErrorCode, SyncError } from '../core/error.ts'
import type { Job, Priority } from '../core/job.ts'
import { didYouMean } from '../core/name.ts'
import { firstInstant } from '../core/schedule.ts'
import { placesOf } from '../core/two-way.ts'
import type { LimitStore } from '../store/limits.ts'
import { isStoreUrl, openStoreAt } from '../store/open.ts'
import { openSqliteStore } from '../store/sqlite/store.ts'
import type { Store } from '../store/store.ts'
import { type ActionResult, executeAction } from './actions.ts'
import { handlerContext, type TokenSource } from './calls.ts'
import { systemClock } from './clock.ts'
import { type ExportFormat, exportRows, type RowsPage, readRows } from './collection-rows.ts'
import { ConnectionPool } from './connection-pool.ts'
import {
  type ConnectionStore,
  type EngineConnection,
  type Integration,
  StoredConnections,
  unknownConnection,
} from './connections.ts'
import { Events, type Guardian, type Listener } from './events.ts'
import { type FlowSession, Flows } from './flows.ts'
import { activeSyncs, collectionOf, gatheredBy, handlerSync, partsOf, scheduleOf, syncIdOf } from './handler-syncs.ts'
import { Limiter, type LimiterState } from './limits.ts'
import { TokenStore } from './oauth.ts'
import { type ExecutionResult, type ScheduledJob, scheduledJob, waitForJob } from './results.ts'
import { Service, setPaused } from './service.ts'
import type { OwnedProject } from './slots.ts'
import { StoreVault, type Vault } from './vault.ts'
import { keyReader } from './vault-keys.ts'

export interface EngineOptions {
  readonly connectors: readonly AnyConnector[]
  /** Default: in the store, credentials in the vault. */
  readonly connectionStore?: ConnectionStore
  /**
   * The folder whose `.syncline` holds the state, the `postgres://` URL of a store that several engines share, or an open store, which
   * stays open and needs `folder`. Default: the working directory.
   */
  readonly store?: string | Store
  /** The folder whose `.syncline` holds the vault's key and the rows that syncs gathered. Default: that of the store, else the working directory. */
  readonly folder?: string
  /** For syncs that say nothing else: above 0, up to a year. Default 15. */
  readonly minutesBetweenSyncs?: number
  /** How many syncs run at a time. Default 4. */
  readonly concurrency?: number
  readonly vault?: Vault
  /** Default: a line on stderr. */
  readonly log?: (message: string) => void
}

interface Opened {
  readonly store: Store
  readonly connections: ConnectionStore
  readonly service: Service
  readonly running: Promise<void>
  readonly collections: string
  readonly tokens: TokenStore
  readonly flows: Flows
  close(): Promise<void>
}

export class Engine {
  readonly #options: EngineOptions
  readonly #connectors: ReadonlyMap<string, AnyConnector>
  readonly #integrations = new Map<string, Integration>()
  readonly #events: Events
  readonly #limiter = new Limiter(systemClock, Math.random, undefined, () => this.#sharedLimits())
  readonly #stop = new AbortController()
  readonly #context: Context
  readonly #opened: Promise<Opened>

  /** Starts at once: what is due runs. CONFIG_INVALID: an option is wrong. FILE_UNUSABLE and PROJECT_LOCKED come with the first call that needs the store. */
  constructor(options: EngineOptions) {
    checkMinutes(options.minutesBetweenSyncs, 'minutesBetweenSyncs of the engine')
    if (typeof options.store === 'object' && options.folder === undefined) {
      throw new SyncError('CONFIG_INVALID', 'an open store needs `folder`', {
        hint: 'Give the folder where the key of the vault and the gathered rows are kept.',
      })
    }
    this.#options = options
    this.#connectors = new Map(options.connectors.map((connector) => [connector.name, connector]))
    const log = options.log ?? ((message: string) => console.error(message))
    this.#context = { signal: this.#stop.signal, clock: systemClock, random: Math.random, log }
    this.#events = new Events(log)
    this.#opened = this.#open()
    this.#opened.catch(() => {})
  }

  getConnectors(): AnyConnector[] {
    return [...this.#connectors.values()]
  }

  getIntegrations(): Integration[] {
    return [...this.#integrations.values()]
  }

  /** Sets up a connector for use, or changes how it is. CONFIG_INVALID: there is no such connector, sync or action. */
  async addIntegration(integration: Integration): Promise<void> {
    const connector = this.#connector(integration.connectorId)
    const known = { syncs: connector.syncs, actions: connector.actions }
    for (const kind of ['syncs', 'actions'] as const)
      for (const name of integration[kind] ?? [])
        if (!known[kind].has(name)) throw nothingNamed(kind.slice(0, -1), name, [...known[kind].keys()])
    this.#integrations.set(integration.id, integration)
    const { connections } = await this.#opened
    for (const connection of await connections.readAll())
      if (connection.integrationId === integration.id) await this.#reschedule(connection.id)
  }

  async updateIntegration(integration: Integration): Promise<void> {
    this.#integration(integration.id)
    await this.addIntegration(integration)
  }

  /** The connections of it stay, and don't run any more. */
  async removeIntegration(integrationId: string): Promise<void> {
    const { connections } = await this.#opened
    for (const connection of await connections.readAll())
      if (connection.integrationId === integrationId) await this.#dropSchedules(connection.id)
    this.#integrations.delete(integrationId)
  }

  /** Keeps a connection, and schedules its syncs. CONFIG_INVALID: its config does not fit its connector. */
  async addConnection(connection: EngineConnection): Promise<EngineConnection> {
    this.#check(connection)
    const created = await (await this.#opened).connections.create(connection)
    await this.scheduleConnectionSyncs(created.id)
    return created
  }

  async updateConnection(connection: EngineConnection): Promise<EngineConnection> {
    this.#check(connection)
    const updated = await (await this.#opened).connections.update(connection)
    await this.#reschedule(updated.id)
    return updated
  }

  async getConnections(): Promise<EngineConnection[]> {
    return await (await this.#opened).connections.readAll()
  }

  async getConnection(connectionId: string): Promise<EngineConnection | undefined> {
    return await (await this.#opened).connections.read(connectionId)
  }

  /** Forgets a connection with its credentials and schedules; what its syncs have gathered stays. */
  async removeConnection(connectionId: string): Promise<void> {
    await this.#dropSchedules(connectionId)
    const { connections, tokens, store } = await this.#opened
    await store.records.delete(UNSCHEDULED, connectionId)
    await connections.delete(connectionId)
    await tokens.delete(connectionId)
  }

  /** Lets the connection's syncs run by themselves, those that were switched off no more. CONNECTION_UNKNOWN. */
  async scheduleConnectionSyncs(connectionId: string): Promise<void> {
    const { store, service } = await this.#opened
    const { connection, integration, connector } = await this.#find(connectionId)
    await store.records.delete(UNSCHEDULED, connectionId)
    const names = activeSyncs(connection, integration, connector)
    for (const name of names) {
      const schedule = scheduleOf(name, connection, connector, this.#options.minutesBetweenSyncs ?? 15)
      await store.schedules.put(
        { sync: syncIdOf(connectionId, name), schedule, origin: 'api' },
        firstInstant(schedule, systemClock.now()),
      )
    }
    for (const { sync } of await this.#schedulesOf(connectionId))
      if (!names.includes(partsOf(sync)?.syncName ?? '')) await store.schedules.remove(sync)
    service.wake()
  }

  /** Until `scheduleConnectionSyncs` they run only when asked to, also after a restart. */
  async unscheduleConnectionSyncs(connectionId: string): Promise<void> {
    const { store } = await this.#opened
    await store.records.put({ kind: UNSCHEDULED, id: connectionId, body: '', expiresAt: null })
    await this.#dropSchedules(connectionId)
  }

  /** Runs a sync now, and waits for its end. CONNECTION_UNKNOWN and SYNC_UNKNOWN are thrown; a run that fails is told in the result. */
  async executeSync(connectionId: string, syncName: string): Promise<ExecutionResult> {
    const job = await this.triggerSync(connectionId, syncName)
    return await waitForJob(job, (await this.#opened).store, this.#events, this.#stop.signal)
  }

  /** Puts a sync into the queue, without waiting for it. */
  async triggerSync(connectionId: string, syncName: string, priority: Priority = 'high'): Promise<Job> {
    return await (await this.#opened).service.trigger(syncIdOf(connectionId, syncName), priority)
  }

  /** JOB_UNKNOWN, JOB_ENDED. */
  async cancelJob(jobId: string): Promise<Job> {
    return await (await this.#opened).service.cancel(jobId)
  }

  async pauseSync(connectionId: string, syncName: string): Promise<void> {
    await setPaused((await this.#opened).store, systemClock, syncIdOf(connectionId, syncName), true)
  }

  async resumeSync(connectionId: string, syncName: string): Promise<void> {
    const { store, service } = await this.#opened
    await setPaused(store, systemClock, syncIdOf(connectionId, syncName), false)
    service.wake()
  }

  /** Every sync that runs by itself, with how it went last. */
  async getScheduledJobs(): Promise<ScheduledJob[]> {
    const { store } = await this.#opened
    const jobs = await Promise.all((await store.schedules.list({})).map((record) => scheduledJob(record, store)))
    return jobs.flatMap((job) => job ?? [])
  }

  async getConnectionJobs(connectionId: string): Promise<ScheduledJob[]> {
    return (await this.getScheduledJobs()).filter((job) => job.connectionId === connectionId)
  }

  /** CONNECTION_UNKNOWN and ACTION_UNKNOWN are thrown; an action that fails is told in the result. */
  async executeAction(connectionId: string, actionName: string, params: unknown): Promise<ActionResult> {
    await this.#opened
    const { connector, integration, handle } = await this.#find(connectionId)
    const names = integration.actions ?? [...connector.actions.keys()]
    const action = names.includes(actionName) ? connector.actions.get(actionName) : undefined
    if (action === undefined) throw nothingNamed('action', actionName, names)
    const tokens = await this.#tokensOf(connectionId)
    return await executeAction(
      { name: actionName, action, handle, params, limits: connector.limits, tokens },
      this.#context,
      this.#limiter,
    )
  }

  /** Begins to connect an account, by the flow of the integration's connector. */
  async startFlowSession(integrationId: string): Promise<FlowSession> {
    return await (await this.#opened).flows.start(integrationId)
  }

  /** Answers the step that waits: what is wrong with the answer is in `errors`. At the end `connectionId` names the connection. */
  async executeFlowStep(sessionId: string, userInput?: unknown): Promise<FlowSession> {
    return await (await this.#opened).flows.answer(sessionId, userInput)
  }

  /** FLOW_UNKNOWN: there is none, or it has expired. */
  async getFlowSession(sessionId: string): Promise<FlowSession> {
    return await (await this.#opened).flows.get(sessionId)
  }

  async deleteFlowSession(sessionId: string): Promise<void> {
    await (await this.#opened).flows.delete(sessionId)
  }

  /** Rows that a sync has gathered, in the order of their keys. */
  async getRows(
    connectionId: string,
    syncName: string,
    page: { readonly limit?: number; readonly after?: string } = {},
  ): Promise<RowsPage> {
    const { collections } = await this.#opened
    return readRows(
      fileOf(collections, collectionOf(connectionId, syncName)),
      collectionOf(connectionId, syncName),
      page,
    )
  }

  /** All rows that a sync has gathered, as text piece by piece. */
  async *exportRows(connectionId: string, syncName: string, format: ExportFormat): AsyncIterable<string> {
    const { collections } = await this.#opened
    yield* exportRows(
      fileOf(collections, collectionOf(connectionId, syncName)),
      collectionOf(connectionId, syncName),
      format,
    )
  }

  getLimits(): readonly LimiterState[] {
    return this.#limiter.states()
  }

  /** Hears every event until the returned function is called. */
  subscribe(listener: Listener): () => void {
    return this.#events.subscribe(listener)
  }

  /** Is asked before every run; the text it returns is the reason why it may not begin. */
  guard(guardian: Guardian): () => void {
    return this.#events.guard(guardian)
  }

  /** Finishes batches, gives back what is left, and closes everything: the process can end by itself. */
  async destroy(): Promise<void> {
    this.#stop.abort(new SyncError('INTERRUPTED', 'the engine was destroyed'))
    const opened = await this.#opened.catch(() => null)
    await opened?.running
    await opened?.close()
  }

  async #open(): Promise<Opened> {
    const { store: given = '.', concurrency = 4 } = this.#options
    const shared = typeof given === 'string' && isStoreUrl(given)
    const own = typeof given === 'string' && !shared ? given : null
    const home = join(this.#options.folder ?? own ?? '.', '.syncline')
    // The store makes its own.
    if (this.#options.folder !== undefined || own === null) await mkdir(home, { recursive: true })
    const store = typeof given !== 'string' ? given : await (shared ? openStoreAt(given) : openSqliteStore(given))
    const lock = typeof given === 'string' ? await store.lock().catch(closing(store)) : null
    const vault = this.#options.vault ?? new StoreVault(store.records, keyReader(join(home, 'vault.key'), process.env))
    const connections = this.#options.connectionStore ?? new StoredConnections(store.records, vault, this.#context.log)
    const collections = join(home, 'collections')
    await mkdir(collections, { recursive: true })
    const projectId = await store.projectId()
    const tokens = new TokenStore(vault, store.leases, systemClock)
    const flows = new Flows({
      ...{ records: store.records, vault, clock: systemClock, signal: this.#stop.signal },
      flowOf: (integrationId) => this.#flowOf(integrationId),
      connect: async (connection, given) => {
        if (given !== null) await tokens.put(connection.id, given)
        if ((await connections.read(connection.id)) === undefined) await this.addConnection(connection)
      },
    })
    const service = new Service({
      ...{ store, concurrency, clock: systemClock, random: Math.random, events: this.#events, log: this.#context.log },
      definitions: {
        find: async (id) => await this.#definition(id),
        exclusive: (sync) => [placesOf(sync)[1].connection],
      },
      makeProject: (signal) => this.#project(projectId, store, collections, signal),
      keepProjects: false,
      worker: `${hostname()}:${process.pid}`,
    })
    return {
      ...{ store, connections, service, collections, tokens, flows },
      running: service.run(this.#stop.signal),
      close: async () => {
        await lock?.[Symbol.asyncDispose]()
        if (typeof given === 'string') await store[Symbol.asyncDispose]()
      },
    }
  }

  async #definition(id: string) {
    const parts = partsOf(id)
    if (parts === null) throw nothingNamed('sync', id, [])
    const { connection, integration, connector } = await this.#find(parts.connectionId)
    const names = activeSyncs(connection, integration, connector)
    if (!names.includes(parts.syncName)) throw nothingNamed('sync', parts.syncName, names)
    return handlerSync(
      parts.connectionId,
      parts.syncName,
      scheduleOf(parts.syncName, connection, connector, this.#options.minutesBetweenSyncs ?? 15),
      connector.syncs.get(parts.syncName)?.timeoutMs,
    )
  }

  /** A project whose connections are those of the engine, and its own collections. */
  #project(id: string, store: Store, collections: string, signal: AbortSignal): OwnedProject {
    const context = { ...this.#context, signal: AbortSignal.any([signal, this.#context.signal]) }
    const open = async (name: string, context: Context): Promise<Connection> => {
      const gathered = gatheredBy(name)
      if (gathered !== null)
        return await sqlite.open({ file: fileOf(collections, gathered), track: 'none', busyTimeoutMs: 10_000 }, context)
      const { connector, handle } = await this.#find(name)
      const { openSyncs } = await import('../connectors/staged.ts')
      const tokens = await this.#tokensOf(name)
      return openSyncs(connector.syncs, handle, handlerContext(context, name, connector.limits, this.#limiter, tokens))
    }
    const openers = { get: (name: string) => ({ open: (context: Context) => open(name, context) }), keys: () => [] }
    const pool = new ConnectionPool(openers, context)
    return {
      ...{ id, store, context, unreachable: new Set<string>(), emit: () => {} },
      connection: (name) => pool.get(name),
      reconnect: (name) => pool.close(name),
      [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
    }
  }

  async #sharedLimits(): Promise<LimitStore | null> {
    return (await this.#opened).store.limits ?? null
  }

  async #tokensOf(connectionId: string): Promise<TokenSource | null> {
    const { integration, connector } = await this.#find(connectionId)
    if (connector.auth === null) return null
    return (await this.#opened).tokens.sourceOf(connectionId, connector.auth(integration.config ?? {}))
  }

  #flowOf(integrationId: string): { readonly flow: Flow; readonly oauth: OAuth | null } {
    const integration = this.#integration(integrationId)
    const { flow, auth, name } = this.#connector(integration.connectorId)
    if (flow === null) throw new SyncError('FLOW_UNKNOWN', `connector ${name} has no flow to connect by`)
    return { flow, oauth: auth?.(integration.config ?? {}) ?? null }
  }

  /** Takes up how a connection and its integration are now, unless its syncs are not to run by themselves. */
  async #reschedule(connectionId: string): Promise<void> {
    const { store } = await this.#opened
    if ((await store.records.get(UNSCHEDULED, connectionId)) === null) await this.scheduleConnectionSyncs(connectionId)
  }

  async #dropSchedules(connectionId: string): Promise<void> {
    const { store } = await this.#opened
    for (const { sync } of await this.#schedulesOf(connectionId)) await store.schedules.remove(sync)
  }

  async #schedulesOf(connectionId: string) {
    const all = await (await this.#opened).store.schedules.list({ origin: 'api' })
    return all.filter(({ sync }) => partsOf(sync)?.connectionId === connectionId)
  }

  async #find(connectionId: string) {
    const connection = await (await this.#opened).connections.read(connectionId)
    if (connection === undefined) throw unknownConnection(connectionId)
    return { connection, ...this.#check(connection) }
  }

  /** The parts of a connection, with its config validated: what it says itself, over what its integration says. */
  #check(connection: EngineConnection): { integration: Integration; connector: AnyConnector; handle: Handle<never> } {
    if (!/^[\w-]{1,100}$/.test(connection.id)) {
      throw new SyncError('CONFIG_INVALID', `"${connection.id.slice(0, 50)}" can't be a connection's id`, {
        hint: 'Use up to 100 letters, digits, _ and -.',
      })
    }
    checkMinutes(connection.minutesBetweenSyncs, `connection "${connection.id}": minutesBetweenSyncs`)
    const integration = this.#integration(connection.integrationId)
    const connector = this.#connector(integration.connectorId)
    const config = connector.config.safeParse({ ...integration.config, ...connection.config })
    if (config.success) return { integration, connector, handle: { id: connection.id, config: config.data as never } }
    const reasons = config.error.issues.map(({ path, message }) => `${path.join('.') || '(all of it)'}: ${message}`)
    throw new SyncError('CONFIG_INVALID', `connection "${connection.id}": ${reasons.join('; ')}`)
  }

  #integration(id: string): Integration {
    const found = this.#integrations.get(id)
    if (found !== undefined) return found
    throw nothingNamed('integration', id, [...this.#integrations.keys()])
  }

  #connector(name: string): AnyConnector {
    const found = this.#connectors.get(name)
    if (found !== undefined) return found
    throw nothingNamed('connector', name, [...this.#connectors.keys()])
  }
}

/** Records of connections whose syncs do not run by themselves. */
const UNSCHEDULED = 'unscheduled'

const MINUTES_OF_A_YEAR = 366 * 24 * 60

function checkMinutes(minutes: number | undefined, what: string): void {
  if (minutes === undefined || (minutes > 0 && minutes <= MINUTES_OF_A_YEAR)) return
  throw new SyncError('CONFIG_INVALID', `${what} is ${minutes}`, {
    hint: `Give a number of minutes above 0, up to ${MINUTES_OF_A_YEAR}.`,
  })
}

/** Where the rows of a collection are. */
function fileOf(folder: string, collection: string): string {
  return join(folder, `${encodeURIComponent(collection)}.db`)
}

const codes: Readonly<Record<string, ErrorCode>> = {
  sync: 'SYNC_UNKNOWN',
  action: 'ACTION_UNKNOWN',
  integration: 'INTEGRATION_UNKNOWN',
}

function nothingNamed(kind: string, name: string, names: readonly string[]): SyncError {
  const code = codes[kind] ?? 'CONFIG_INVALID'
  const others = didYouMean(name, names) || (names.length === 0 ? '' : `; there are ${names.join(', ')}`)
  return new SyncError(code, `there is no ${kind} "${name}"${others}`)
}

function closing(store: Store): (error: unknown) => Promise<never> {
  return async (error) => {
    await store[Symbol.asyncDispose]()
    throw error
  }
}
