/** The engine for embedders: connectors, integrations and connections in code; schedules, runs and history in a store. */
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Context } from '../connectors/connector.ts'
import type { AnyConnector } from '../connectors/kit.ts'
import { SyncError } from '../core/error.ts'
import type { Job, Priority } from '../core/job.ts'
import type { Log } from '../core/log.ts'
import type { ActionResult } from '../core/step.ts'
import { placesOf } from '../core/two-way.ts'
import type { LimitStore } from '../store/limits.ts'
import { isStoreUrl, openStoreAt } from '../store/open.ts'
import { makePrivateFolder } from '../store/private-files.ts'
import { openSqliteStore } from '../store/sqlite/store.ts'
import type { Store } from '../store/store.ts'
import { Limiter, type LimiterState } from './calls/rate-limiter.ts'
import { systemClock } from './clock.ts'
import type { ExportFormat, RowsPage } from './connections/collected-rows.ts'
import { rowsPlace } from './connections/collected-rows-place.ts'
import { ConnectionPool } from './connections/connection-pool.ts'
import { Connected } from './connections/connection-service.ts'
import {
  type ConnectionStore,
  type EngineConnection,
  type Integration,
  StoredConnections,
} from './connections/connection-store.ts'
import type { FlowSession } from './connections/flows.ts'
import { syncIdOf } from './connections/handler-syncs.ts'
import { checkMinutes, Integrations } from './connections/integrations.ts'
import { Events, type Guardian, type Listener } from './observe/events.ts'
import { SharedEvents } from './observe/shared-events.ts'
import type { OwnedProject } from './queue/project-pool.ts'
import { Service, setPaused } from './queue/service.ts'
import { type ExecutionResult, type ScheduledJob, scheduledJob, waitForJob } from './results.ts'
import { StoreVault, type Vault } from './secrets/vault.ts'
import { keyReader } from './secrets/vault-keys.ts'

export interface EngineOptions {
  readonly connectors: readonly AnyConnector[]
  /** Default: in the store, credentials in the vault. */
  readonly connectionStore?: ConnectionStore
  /**
   * The folder whose `.syncline` holds the state, the `postgres://` URL of a store that several engines share, or an open store, which
   * stays open and needs `folder`. Default: the working directory.
   */
  readonly store?: string | Store
  /** The folder whose `.syncline` holds the vault's key, and, unless the store is in Postgres, the rows that syncs gathered. Default: that of the store, else the working directory. */
  readonly folder?: string
  /** For syncs that say nothing else: above 0, up to a year. Default 15. */
  readonly minutesBetweenSyncs?: number
  /** How many syncs run at a time. Default 4. */
  readonly concurrency?: number
  readonly vault?: Vault
  /** Default: a line on stderr. */
  readonly log?: Log
}

interface Opened {
  readonly store: Store
  readonly connections: ConnectionStore
  readonly connected: Connected
  readonly service: Service
  readonly running: Promise<void>
  close(): Promise<void>
}

export class Engine {
  readonly #options: EngineOptions
  readonly #integrations: Integrations
  readonly #events: Events
  readonly #sharedEvents: SharedEvents
  readonly #limiter = new Limiter(systemClock, Math.random, undefined, () => this.#sharedLimits())
  readonly #stop = new AbortController()
  readonly #context: Context
  readonly #opened: Promise<Opened>
  #connected: Connected | null = null

  /** Starts at once: what is due runs. CONFIG_INVALID: an option is wrong. FILE_UNUSABLE and PROJECT_LOCKED come with the first call that needs the store. */
  constructor(options: EngineOptions) {
    checkMinutes(options.minutesBetweenSyncs, 'minutesBetweenSyncs of the engine')
    if (typeof options.store === 'object' && options.folder === undefined) {
      throw new SyncError('CONFIG_INVALID', 'an open store needs `folder`', {
        hint: 'Give the folder where the key of the vault and the gathered rows are kept.',
      })
    }
    this.#options = options
    this.#integrations = new Integrations(options.connectors)
    const log = options.log ?? ((message: string) => console.error(message))
    const redact = (text: string) => this.#connected?.redact(text) ?? text
    this.#context = {
      ...{ signal: this.#stop.signal, clock: systemClock, random: Math.random, redact },
      // Handlers may log what they know.
      log: (message, severity) => log(redact(message), severity),
    }
    this.#events = new Events(log)
    this.#opened = this.#open()
    this.#opened.catch(() => {})
    this.#sharedEvents = new SharedEvents({
      ...{ events: this.#events, clock: systemClock, log, catchUp: async () => {} },
      topic: async () => (await this.#opened).store.topic ?? null,
    })
  }

  getConnectors(): AnyConnector[] {
    return [...this.#integrations.connectors]
  }

  getIntegrations(): Integration[] {
    return [...this.#integrations.all]
  }

  /** Sets up a connector for use, or changes how it is. CONFIG_INVALID: there is no such connector, sync or action. */
  async addIntegration(integration: Integration): Promise<void> {
    // Known at once: calls that follow without waiting may need it.
    this.#integrations.put(integration)
    await (await this.#ready()).connected.putIntegration(integration)
  }

  async updateIntegration(integration: Integration): Promise<void> {
    this.#integrations.find(integration.id)
    await this.addIntegration(integration)
  }

  /** The connections of it stay, and don't run any more. */
  async removeIntegration(integrationId: string): Promise<void> {
    await (await this.#ready()).connected.removeIntegration(integrationId)
  }

  /** Keeps a connection, and schedules its syncs. CONFIG_INVALID: its config does not fit its connector. */
  async addConnection(connection: EngineConnection): Promise<EngineConnection> {
    return await (await this.#ready()).connected.add(connection)
  }

  /** Also one that can't be read any more. CONNECTION_UNKNOWN; CONFIG_INVALID: its config does not fit its connector. */
  async updateConnection(connection: EngineConnection): Promise<EngineConnection> {
    const whole = () => connection
    return await (await this.#ready()).connected.update(connection.id, whole, whole)
  }

  async getConnections(): Promise<EngineConnection[]> {
    return await (await this.#ready()).connections.readAll()
  }

  async getConnection(connectionId: string): Promise<EngineConnection | undefined> {
    return await (await this.#ready()).connections.read(connectionId)
  }

  /** Forgets a connection with its credentials and schedules; what its syncs have gathered stays. */
  async removeConnection(connectionId: string): Promise<void> {
    await (await this.#ready()).connected.remove(connectionId)
  }

  /** Lets the connection's syncs run by themselves, those that were switched off no more. CONNECTION_UNKNOWN. */
  async scheduleConnectionSyncs(connectionId: string): Promise<void> {
    await (await this.#ready()).connected.schedule(connectionId)
  }

  /** Until `scheduleConnectionSyncs` they run only when asked to, also after a restart. */
  async unscheduleConnectionSyncs(connectionId: string): Promise<void> {
    await (await this.#ready()).connected.unschedule(connectionId)
  }

  /** Runs a sync now, and waits for its end. CONNECTION_UNKNOWN and SYNC_UNKNOWN are thrown; a run that fails is told in the result. */
  async executeSync(connectionId: string, syncName: string): Promise<ExecutionResult> {
    const { store } = await this.#ready()
    const job = await this.triggerSync(connectionId, syncName)
    return await waitForJob(job, store, this.#events, this.#stop.signal)
  }

  /** Puts a sync into the queue, without waiting for it. */
  async triggerSync(connectionId: string, syncName: string, priority: Priority = 'high'): Promise<Job> {
    return await (await this.#ready()).service.trigger(syncIdOf(connectionId, syncName), priority)
  }

  /** JOB_UNKNOWN, JOB_ENDED. */
  async cancelJob(jobId: string): Promise<Job> {
    return await (await this.#ready()).service.cancel(jobId)
  }

  async pauseSync(connectionId: string, syncName: string): Promise<void> {
    await setPaused((await this.#ready()).store, systemClock, syncIdOf(connectionId, syncName), true)
  }

  async resumeSync(connectionId: string, syncName: string): Promise<void> {
    const { store, service } = await this.#ready()
    await setPaused(store, systemClock, syncIdOf(connectionId, syncName), false)
    service.wake()
  }

  /** Every sync that runs by itself, with how it went last. */
  async getScheduledJobs(): Promise<ScheduledJob[]> {
    const { store } = await this.#ready()
    const jobs = await Promise.all((await store.schedules.list({})).map((record) => scheduledJob(record, store)))
    return jobs.flatMap((job) => job ?? [])
  }

  async getConnectionJobs(connectionId: string): Promise<ScheduledJob[]> {
    return (await this.getScheduledJobs()).filter((job) => job.connectionId === connectionId)
  }

  /** CONNECTION_UNKNOWN and ACTION_UNKNOWN are thrown; an action that fails is told in the result. */
  async executeAction(connectionId: string, actionName: string, params: unknown): Promise<ActionResult> {
    return await (await this.#ready()).connected.execute(connectionId, actionName, params)
  }

  /** Begins to connect an account, by the flow of the integration's connector. */
  async startFlowSession(integrationId: string): Promise<FlowSession> {
    return await (await this.#ready()).connected.flows.start(integrationId)
  }

  /** Answers the step that waits: what is wrong with the answer is in `errors`. At the end `connectionId` names the connection. */
  async executeFlowStep(sessionId: string, userInput?: unknown): Promise<FlowSession> {
    return await (await this.#ready()).connected.flows.answer(sessionId, userInput)
  }

  /** FLOW_UNKNOWN: there is none, or it has expired. */
  async getFlowSession(sessionId: string): Promise<FlowSession> {
    return await (await this.#ready()).connected.flows.get(sessionId)
  }

  async deleteFlowSession(sessionId: string): Promise<void> {
    await (await this.#ready()).connected.flows.delete(sessionId)
  }

  /** Rows that a sync has gathered, in the order of their keys. */
  async getRows(
    connectionId: string,
    syncName: string,
    page: { readonly limit?: number; readonly after?: string } = {},
  ): Promise<RowsPage> {
    return await (await this.#ready()).connected.readRows(connectionId, syncName, page)
  }

  /** All rows that a sync has gathered, as text piece by piece. With a store on Postgres at most four are read at the same time. */
  async *exportRows(connectionId: string, syncName: string, format: ExportFormat): AsyncIterable<string> {
    yield* (await this.#ready()).connected.exportRows(connectionId, syncName, format)
  }

  getLimits(): readonly LimiterState[] {
    return this.#limiter.states()
  }

  /**
   * Hears every event of this engine until the returned function is called. `everywhere`: also those of all other engines and processes that
   * share the store; then a listener that acts on them does so in each of them.
   */
  subscribe(listener: Listener, { everywhere = false }: { readonly everywhere?: boolean } = {}): () => void {
    if (!everywhere) return this.#events.subscribe(listener)
    const subscription = this.#sharedEvents.subscribe(listener)
    return () => subscription[Symbol.dispose]()
  }

  /** Is asked before every run; the text it returns is the reason why it may not begin. */
  guard(guardian: Guardian): () => void {
    return this.#events.guard(guardian)
  }

  /** Finishes batches, gives back what is left, and closes everything: within 15 seconds, whatever handlers still wait for. Then the process can end by itself, once they have. */
  async destroy(): Promise<void> {
    this.#stop.abort(new SyncError('INTERRUPTED', 'the engine was destroyed', { hint: 'Make a new one.' }))
    const opened = await this.#opened.catch(() => null)
    await opened?.running
    await this.#sharedEvents[Symbol.asyncDispose]()
    await opened?.close()
  }

  /** INTERRUPTED: after `destroy()` nothing can be asked. */
  async #ready(): Promise<Opened> {
    this.#stop.signal.throwIfAborted()
    return await this.#opened
  }

  async #open(): Promise<Opened> {
    const { store: given = '.', concurrency = 4 } = this.#options
    const shared = typeof given === 'string' && isStoreUrl(given)
    const own = typeof given === 'string' && !shared ? given : null
    const home = join(this.#options.folder ?? own ?? '.', '.syncline')
    // The store makes its own.
    if (this.#options.folder !== undefined || own === null) makePrivateFolder(home)
    const store = typeof given !== 'string' ? given : await (shared ? openStoreAt(given) : openSqliteStore(given))
    const lock = typeof given === 'string' ? await store.lock().catch(closing(store)) : null
    const vault = this.#options.vault ?? new StoreVault(store.records, keyReader(join(home, 'vault.key'), process.env))
    const connections = this.#options.connectionStore ?? new StoredConnections(store.records, vault, this.#context.log)
    const rows = rowsPlace(store, join(home, 'collections'))
    const projectId = await store.projectId()
    const connected = new Connected({
      ...{ store, vault, connections, rows, context: this.#context },
      ...{ integrations: this.#integrations, limiter: this.#limiter },
      minutesBetweenSyncs: this.#options.minutesBetweenSyncs ?? 15,
      events: this.#events,
      reconsider: (id, there) => service.reconsider(id, there),
      changed: async () => service.wake(),
    })
    this.#connected = connected
    const service = new Service({
      ...{ store, concurrency, clock: systemClock, random: Math.random, events: this.#events, log: this.#context.log },
      definitions: {
        find: (id) => connected.definition(id),
        exclusive: (sync) => [placesOf(sync)[1].connection],
        lasting: () => false,
        project: () => null,
      },
      makeProject: (signal) => this.#project(projectId, store, connected, signal),
      worker: `${hostname()}:${process.pid}`,
    })
    return {
      ...{ store, connections, connected, service },
      running: service.run(this.#stop.signal),
      close: async () => {
        await connected[Symbol.asyncDispose]()
        await lock?.[Symbol.asyncDispose]()
        if (typeof given === 'string') await store[Symbol.asyncDispose]()
      },
    }
  }

  /** A project whose connections are those of the engine, and its own collections. */
  #project(id: string, store: Store, connected: Connected, signal: AbortSignal | null): OwnedProject {
    const own = this.#context.signal
    const context = { ...this.#context, signal: signal === null ? own : AbortSignal.any([signal, own]) }
    const pool = new ConnectionPool({ get: (name) => connected.opener(name), keys: () => [] }, context)
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
}

function closing(store: Store): (error: unknown) => Promise<never> {
  return async (error) => {
    await store[Symbol.asyncDispose]()
    throw error
  }
}
