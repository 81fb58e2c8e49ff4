/** What a person can do with a running project: what the server offers, whoever implements it. */
import type { ActionDefinition, Limits, WebhookRequest, WebhookVerdict } from '../connectors/kit.ts'
import type { SyncError } from '../core/error.ts'
import type { EngineEvent } from '../core/event.ts'
import type { KeyName } from '../core/job.ts'
import type { Schedule } from '../core/schedule.ts'
import type { AnySync } from '../core/two-way.ts'
import type { Store } from '../store/store.ts'
import type { LimiterState } from './calls/rate-limiter.ts'
import type { Catalogue } from './connections/catalogue.ts'
import type { Connected } from './connections/connection-service.ts'
import type { Integrations } from './connections/integrations.ts'
import type { Events } from './observe/events.ts'
import type { Webhooks } from './observe/outgoing-webhooks.ts'
import type { SharedEvents } from './observe/shared-events.ts'
import type { Project } from './project.ts'
import type { Service } from './queue/service.ts'

export interface Operations {
  /** Connectors, and which of them are set up. */
  readonly integrations: Integrations
  /** Services and scopes that another program knows of; null: none is asked. */
  readonly catalogue: Catalogue | null
  /** Connections of integrations: made, asked to act, read. */
  readonly connected: Connected
  /** Sees what other processes have made. */
  catchUp(): Promise<void>
  readonly store: Store
  readonly service: Service
  readonly events: Events
  /** Of all processes that share the store. */
  readonly sharedEvents: SharedEvents
  /** The syncs there are now. */
  syncs(): readonly KnownSync[]
  /** One of them; null: there is none of that name now. */
  sync(id: string): KnownSync | null
  /** Those of a connection of an integration. */
  syncsOf(connection: string): readonly KnownSync[]
  connections(): readonly KnownConnection[]
  /** What a connection can do, by name. */
  actionsOf(connection: KnownConnection): ReadonlyMap<string, ActionDefinition<never>>
  /** How often its system may be asked; empty: as often as it answers. */
  limitsOf(connection: KnownConnection): Limits
  /** How the limits of these connections stand, in all processes on the store. Those that were not used lately may be left out. */
  limits(connections: readonly string[]): Promise<readonly LimiterState[]>
  readonly webhooks: Webhooks
  /** Whether the connection's system has signed this; null: it has not, or there is no such connection, or it sends none. */
  verifyWebhook(connection: string, request: WebhookRequest): Promise<WebhookVerdict | null>
  /** Whether a sync has this connection on one of its sides. */
  reads(sync: AnySync, connection: string): boolean
  /**
   * FORBIDDEN: the project permits nobody, or not this key, to run it now. Asked before it is put into the queue, where requests meet in one
   * job that counts as the first's: who may not run must not be the first.
   */
  askForRun(known: KnownSync, key: KeyName): Promise<void>
  /** Lends a project with open connections, which only reads. */
  use<Result>(work: (project: Project) => Promise<Result>, signal: AbortSignal): Promise<Result>
  /**
   * Adds or replaces a sync, written as in a config file. `caller`: the project of the key that asks, null for a key of none. FORBIDDEN: the name
   * is not for this caller. CONFIG_INVALID tells every mistake.
   */
  putSync(name: string, definition: unknown, caller: string | null): Promise<PutSync>
  /** Syncs made by calls of the API that use this connection. */
  usersOf(connection: string): readonly string[]
  /** A sync that a call of the API made, also while it is set aside; null: there is none of that name. */
  madeSync(name: string): { readonly name: string; readonly project: string | null } | null
  /** Why a sync that is written does not run; null: nothing is known to keep it. */
  setAside(name: string): SyncError | null
  /** `caller`: as above. False: no call of the API made it. FORBIDDEN, SYNC_USED. */
  removeSync(name: string, caller: string | null): Promise<boolean>
}

export interface PutSync {
  readonly change: 'made' | 'changed'
  /** Whose it is now. */
  readonly project: string | null
  readonly syncs: readonly KnownSync[]
}

export interface KnownSync {
  readonly sync: AnySync
  /** Whether the config file says it, a call of the API, or it is one of a connection's. */
  readonly origin: 'config' | 'api' | 'connection'
  /** Null: nobody's in particular. */
  readonly project: string | null
}

export interface KnownConnection {
  readonly name: string
  readonly connector: string
  /** Null: the config file says it. */
  readonly integration: string | null
  /** Whose keys may see and use it, beside keys of no project. */
  readonly projects: readonly string[]
  /** Of a connection of an integration: the syncs that it runs, null for all; and how often, null where it says nothing. */
  readonly activeSyncs: readonly string[] | null
  readonly minutesBetweenSyncs: number | null
  /** When some of them run, whatever else is said; null where it says nothing. */
  readonly schedules: Readonly<Record<string, Schedule>> | null
}

/** The project that what an event is about belongs to; null: nobody's in particular. */
export function projectOf(event: EngineEvent, operations: Pick<Operations, 'sync' | 'connections'>): string | null {
  if (event.event === 'config.changed') return event.project
  if ('sync' in event) return operations.sync(event.sync)?.project ?? null
  // Of several projects, or none: who is bound to one does not hear of it.
  const projects = operations.connections().find(({ name }) => name === event.connection)?.projects ?? []
  return projects.length === 1 ? (projects[0] ?? null) : null
}
