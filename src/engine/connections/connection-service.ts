/** What is reached through integrations: connections, kept in a store; the syncs that gather their rows; actions; flows that make connections. */
import { z } from 'zod'
import type { Connection, Context, Limits } from '../../connectors/connector.ts'
import type { HandlerContext } from '../../connectors/handlers.ts'
import type { AnyConnector, WebhookRequest, WebhookVerdict } from '../../connectors/kit.ts'
import { asSyncError, SyncError } from '../../core/error.ts'
import type { KeyName } from '../../core/job.ts'
import type { Schedule } from '../../core/schedule.ts'
import type { ActionResult } from '../../core/step.ts'
import type { Sync } from '../../core/sync.ts'
import type { SyncId } from '../../core/sync-id.ts'
import type { Store } from '../../store/store.ts'
import { handlerContext, type TokenSource } from '../calls/handler-context.ts'
import type { Limiter } from '../calls/rate-limiter.ts'
import type { Events } from '../observe/events.ts'
import { KnownSecrets } from '../secrets/known-secrets.ts'
import { redact, secretsIn } from '../secrets/redact.ts'
import type { Vault } from '../secrets/vault.ts'
import { type ActingConnection, executeAction } from './actions.ts'
import { type ExportFormat, exportRows, type RowsPage, readRows } from './collected-rows.ts'
import type { RowsPlace } from './collected-rows-place.ts'
import type { Opener } from './connection-pool.ts'
import { ConnectionSchedules } from './connection-schedules.ts'
import {
  type ConnectionChange,
  type ConnectionStore,
  type EngineConnection,
  type Integration,
  isUnreadable,
  outlineOf,
  outlinesOf,
  takenId,
  unknownConnection,
} from './connection-store.ts'
import { type ConnectionRenewal, checkConnection, updateConnection } from './connection-update.ts'
import { Flows } from './flows.ts'
import { collectionOf, gatheredBy, namesOf, partsOf, syncOf } from './handler-syncs.ts'
import { type ConnectionParts, type Integrations, nothingNamed } from './integrations.ts'
import { TokenStore } from './oauth.ts'

/** Ids of connections that are no more, and whose they were. */
const FORMER = 'former-connection'
const former = z.object({ project: z.string().nullable() })

export interface ConnectedOptions {
  readonly store: Store
  readonly vault: Vault
  readonly connections: ConnectionStore
  readonly integrations: Integrations
  readonly limiter: Limiter
  readonly context: Context
  /** Of the rows that syncs gather. */
  readonly rows: RowsPlace
  /** For syncs that say nothing else. */
  readonly minutesBetweenSyncs: number
  readonly events: Events
  /** Whether a new connection of this project may not have a name, as something else has it or had it. Default: nothing has. */
  readonly taken?: (id: string, project: string | null) => Promise<boolean>
  /** Connections of the config that can act; no other has the name of one. Default: none. */
  readonly acting?: (id: string) => ActingConnection | null
  /** After a connection was changed, or is gone. Absent: nobody here knows how connections answer. */
  readonly reconsider?: (connection: string, there: boolean) => Promise<void>
  /** After connections or their schedules have changed. */
  readonly changed: () => Promise<void>
}

export class Connected implements AsyncDisposable {
  readonly #options: ConnectedOptions
  readonly #tokens: TokenStore
  readonly #schedules: ConnectionSchedules
  readonly #secrets = new KnownSecrets()
  readonly flows: Flows

  constructor(options: ConnectedOptions) {
    const { store, vault, context, integrations, connections } = options
    this.#options = options
    this.#schedules = new ConnectionSchedules(options)
    this.#tokens = new TokenStore(vault, store.leases, context.clock)
    this.flows = new Flows({
      ...{ records: store.records, vault, clock: context.clock, signal: context.signal },
      flowOf: (id) => integrations.flowOf(id),
      secretsOf: (id) => secretsIn(integrations.find(id).config),
      connect: async ({ project, ...rest }, given) => {
        const connection = project === null ? rest : { ...rest, project }
        if (given !== null) await this.#tokens.put(connection.id, given)
        if ((await connections.read(connection.id)) !== undefined) return
        await this.add(connection).catch(async (error: unknown) => {
          // What is refused is tried again with the session's own, or expires with it.
          if ((await outlineOf(connections, connection.id)) === undefined) await this.#tokens.delete(connection.id)
          throw error
        })
      },
    })
  }

  /** Waits until the tokens that are being refreshed are kept. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tokens[Symbol.asyncDispose]()
  }

  /** Sets up a connector for use, or changes how it is. */
  async putIntegration(integration: Integration): Promise<void> {
    const { integrations, connections } = this.#options
    integrations.put(integration)
    const all = await outlinesOf(connections)
    await this.#schedules.takeUp(
      all.filter(({ integrationId }) => integrationId === integration.id),
      (error) => {
        throw error
      },
    )
  }

  /** The connections of it stay, and don't run any more. */
  async removeIntegration(id: string): Promise<void> {
    const { integrations, connections } = this.#options
    for (const connection of await outlinesOf(connections))
      if (connection.integrationId === id) await this.#schedules.drop(connection.id)
    integrations.remove(id)
  }

  /** From now on these connectors and integrations, and no others. What has no schedule by them is told to `log`; a config that does not fit them fails its runs. */
  async replace(connectors: readonly AnyConnector[], all: readonly Integration[]): Promise<void> {
    const { integrations, connections, context } = this.#options
    integrations.replace(connectors, all)
    const outlines = await outlinesOf(connections)
    await this.#schedules.takeUp(outlines, (error) => context.log(asSyncError(error).message, 'warn'))
  }

  /** Keeps a connection, and schedules its syncs. CONFIG_INVALID: its config does not fit its connector. */
  async add(connection: EngineConnection): Promise<EngineConnection> {
    const { connections, taken } = this.#options
    checkConnection(connection, this.#options.integrations)
    const { id, project = null } = connection
    if ((await taken?.(id, project)) === true || (await this.#formerly(id, project))) throw takenId(id)
    const created = await connections.create(connection)
    await this.schedule(created.id)
    return created
  }

  /**
   * Keeps what `change` makes of a connection, as it is then; of one that can't be read, what `anew` makes of what is left of it.
   * CONNECTION_UNKNOWN, CONFIG_INVALID, INTEGRATION_UNKNOWN.
   */
  async update(id: string, change: ConnectionChange, anew: ConnectionRenewal): Promise<EngineConnection> {
    const { connections, integrations } = this.#options
    const { updated, moved } = await updateConnection(id, change, anew, connections, integrations)
    // They are of an account of another system.
    if (moved) await this.#tokens.delete(id)
    await this.#options.reconsider?.(id, true)
    await this.#schedules.renew(id)
    return updated
  }

  /** Keeps with its connection when a sync runs, whatever else is said. CONNECTION_UNKNOWN, SYNC_UNKNOWN, CONFIG_INVALID. */
  async setSchedule(sync: SyncId, schedule: Schedule): Promise<void> {
    const parts = partsOf(sync)
    if (parts === null) throw nothingNamed('sync', sync, [])
    await this.update(
      parts.connectionId,
      (before) => ({ ...before, schedules: { ...before.schedules, [parts.syncName]: schedule } }),
      (_left, error) => {
        throw error
      },
    )
  }

  /** Forgets a connection with its credentials and schedules; what its syncs have gathered stays. */
  async remove(id: string): Promise<void> {
    const { connections, store } = this.#options
    const outline = await outlineOf(connections, id).catch((error: unknown) => {
      if (isUnreadable(error)) return { project: null }
      throw error
    })
    await this.#schedules.forget(id)
    // Of one that is forgotten already it is known.
    if (outline !== undefined) {
      const { project = null } = outline
      await store.records.put({ kind: FORMER, id, body: JSON.stringify({ project }), expiresAt: null })
    }
    // A connection without tokens can be forgotten again; tokens without one would be the next one's of that name.
    await this.#tokens.delete(id)
    await connections.delete(id)
    await this.#options.reconsider?.(id, false)
    await this.#options.changed()
  }

  /** Lets the connection's syncs run by themselves, those that were switched off no more. CONNECTION_UNKNOWN. */
  async schedule(id: string): Promise<void> {
    await this.#schedules.put(id)
  }

  /** Until `schedule` they run only when asked to, also after a restart. */
  async unschedule(id: string): Promise<void> {
    await this.#schedules.suspend(id)
  }

  /** The sync of that id, as it is now. CONNECTION_UNKNOWN, SYNC_UNKNOWN, INTEGRATION_UNKNOWN. */
  async definition(id: SyncId): Promise<Sync> {
    const parts = partsOf(id)
    if (parts === null) throw nothingNamed('sync', id, [])
    const { connectionId, syncName } = parts
    const { connection } = await this.#find(connectionId)
    const { integrations, minutesBetweenSyncs } = this.#options
    const names = namesOf(connection, integrations)
    if (!names.includes(syncName)) throw nothingNamed('sync', syncName, names)
    return syncOf(connection, syncName, integrations, minutesBetweenSyncs)
  }

  /** Why a connection that is there is in no list; null: it is in them, or there is none of that id. */
  async unlisted(id: string): Promise<SyncError | null> {
    const outline = await outlineOf(this.#options.connections, id).catch(asSyncError)
    return outline instanceof SyncError && isUnreadable(outline) ? outline : null
  }

  /** Whether there is a connection of that id, also one that can't be read, or another project had one: its runs are still there. */
  async claims(id: string, project: string | null): Promise<boolean> {
    const outline = await outlineOf(this.#options.connections, id).catch(asSyncError)
    if (outline instanceof SyncError && !isUnreadable(outline)) throw outline
    return outline !== undefined || (await this.#formerly(id, project))
  }

  /** Undefined: there is none of that id. */
  async read(id: string): Promise<EngineConnection | undefined> {
    return await this.#options.connections.read(id)
  }

  /** Whether its account answers; the result says what is wrong. CONNECTION_UNKNOWN, CONFIG_INVALID. */
  async check(id: string): Promise<ActionResult> {
    const { context, limiter } = this.#options
    const found = await this.#find(id)
    const { connector, handle } = found
    const tokens = this.#tokensOf(id, found)
    const run = async (_handle: unknown, _input: unknown, given: HandlerContext) => {
      if (connector.check != null) return await connector.check(handle, given)
      if (connector.syncs.size > 0 || connector.actions.size > 0) return void (await tokens?.get(null, given.signal))
      await using connection = await openFor(found, given)
      await connection.discover()
    }
    const action = { input: z.unknown(), output: z.unknown(), run }
    return await executeAction(
      { name: 'check', action, handle, params: null, limits: connector.limits, tokens },
      context,
      limiter,
    )
  }

  /** Whether this is a sync of a connection that there is. */
  async knows(sync: SyncId): Promise<boolean> {
    const parts = partsOf(sync)
    return parts !== null && (await outlineOf(this.#options.connections, parts.connectionId)) !== undefined
  }

  /** Whether the connection's system has signed this; null: it has not, or there is no such connection, or it sends none. */
  async verifyWebhook(id: string, request: WebhookRequest): Promise<WebhookVerdict | null> {
    const found = await this.#find(id).catch(asSyncError)
    if (found instanceof SyncError) return null
    return (await found.connector.webhook?.(found.handle.config, request)) ?? null
  }

  /** Of the connections that were used. */
  get secrets(): Iterable<string> {
    return this.#secrets
  }

  /** Takes the secrets of connections out of a text. */
  redact(text: string): string {
    return redact(text, this.#secrets)
  }

  /** Opens a connection, with its own collections or those that its syncs list; or the collection that a sync of one gathers into. */
  opener(name: string): Opener {
    return { open: (context) => this.#open(name, context) }
  }

  /**
   * CONNECTION_UNKNOWN and ACTION_UNKNOWN are thrown, and FORBIDDEN when somebody vetoes it; an action that fails is told in the result.
   * `key`: who asks for it by the API. `signal`: ends it, beside what ends all of them.
   */
  async execute(
    id: string,
    actionName: string,
    params: unknown,
    key: KeyName | null = null,
    signal: AbortSignal | null = null,
  ): Promise<ActionResult> {
    const { limiter } = this.#options
    const context = within(this.#options.context, signal)
    const { connector, handle, project, names, tokens } = await this.#acting(id)
    const action = names.includes(actionName) ? connector.actions.get(actionName) : undefined
    if (action === undefined) throw nothingNamed('action', actionName, names)
    await this.#askForAction(id, project, actionName, key)
    return await executeAction(
      { name: actionName, action, handle, params, limits: connector.limits, tokens },
      context,
      limiter,
    )
  }

  /** Rows that a sync has gathered, in the order of their keys. COLLECTION_UNKNOWN. */
  async readRows(
    id: string,
    syncName: string,
    page: { readonly limit?: number; readonly after?: string },
  ): Promise<RowsPage> {
    return await readRows(this.#options.rows, collectionOf(id, syncName), page)
  }

  /** All rows that a sync has gathered, as text piece by piece. */
  exportRows(id: string, syncName: string, format: ExportFormat, signal?: AbortSignal): AsyncIterable<string> {
    return exportRows(this.#options.rows, collectionOf(id, syncName), format, signal)
  }

  /** Whether another project had a connection of that id: what it gathered and its history are still there. */
  async #formerly(id: string, project: string | null): Promise<boolean> {
    const record = await this.#options.store.records.get(FORMER, id)
    return record !== null && former.parse(JSON.parse(record.body)).project !== project
  }

  /** What a connection acts by, and the names of what it can do. */
  async #acting(id: string) {
    const own = this.#options.acting?.(id) ?? null
    if (own === null) {
      const found = await this.#find(id)
      const { connector, integration, handle, connection } = found
      const names = integration.actions ?? [...connector.actions.keys()]
      return { connector, handle, names, project: connection.project ?? null, tokens: this.#tokensOf(id, found) }
    }
    this.#secrets.keepConfig(id, secretsIn(own.handle.config))
    return { ...own, names: [...own.connector.actions.keys()], tokens: null }
  }

  async #askForAction(connection: string, project: string | null, action: string, key: KeyName | null): Promise<void> {
    const { events } = this.#options
    const reason = await events.vetoOf({ event: 'action.starting', connection, action, project, key })
    if (reason === null) return
    events.emit({ event: 'action.vetoed', connection, action, reason })
    throw new SyncError('FORBIDDEN', `action ${action} of ${connection} may not run: ${reason}`)
  }

  async #open(name: string, context: Context): Promise<Connection> {
    const { rows, limiter } = this.#options
    const gathered = gatheredBy(name)
    if (gathered !== null) return await rows.open(gathered, context)
    const found = await this.#find(name)
    const { connector, handle } = found
    const tokens = this.#tokensOf(name, found)
    const calls = (limits: Limits) => handlerContext(context, name, limits, limiter, tokens)
    if (connector.syncs.size + connector.collections.size === 0) return await openFor(found, { ...context, calls })
    const { openNamed } = await import('../../connectors/named.ts')
    const { syncs = [...connector.syncs.keys()] } = found.integration
    const listed = new Map([...connector.syncs].filter(([one]) => syncs.includes(one)))
    return openNamed(connector.collections, listed, handle, calls(connector.limits))
  }

  #tokensOf(id: string, { connector, integration }: ConnectionParts): TokenSource | null {
    if (connector.auth === null) return null
    const source = this.#tokens.sourceOf(id, connector.auth(integration.config ?? {}))
    return {
      get: async (refused, signal) => {
        const token = await source.get(refused, signal)
        if (token !== null) this.#secrets.keepToken(id, token)
        return token
      },
    }
  }

  async #find(id: string): Promise<ConnectionParts & { readonly connection: EngineConnection }> {
    const { connections, integrations } = this.#options
    const connection = await connections.read(id)
    if (connection === undefined) throw unknownConnection(id)
    const parts = integrations.partsOf(connection)
    this.#secrets.keepConfig(id, secretsIn(parts.handle.config))
    return { connection, ...parts }
  }
}

/** A caller made it: work that would keep this thread is done where it can be ended. */
async function openFor({ connector, handle, integration }: ConnectionParts, context: Context): Promise<Connection> {
  if (connector.openApart == null) return await connector.open(handle.config, context)
  const { workLimits } = await import('../../connectors/apart.ts')
  return await connector.openApart(handle.config, context, { ...workLimits, ...integration.work })
}

function within(context: Context, signal: AbortSignal | null): Context {
  return signal === null ? context : { ...context, signal: AbortSignal.any([context.signal, signal]) }
}
