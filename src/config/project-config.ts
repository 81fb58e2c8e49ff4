/** A config that has been read: its connections, integrations and syncs. */
import type { Connection, Context } from '../connectors/connector.ts'
import type { AnyConnector, WebhookRequest, WebhookVerdict } from '../connectors/kit.ts'
import type { SyncError } from '../core/error.ts'
import type { Sync } from '../core/sync.ts'
import type { TwoWaySync } from '../core/two-way.ts'
import type { ActingConnection } from '../engine/connections/actions.ts'
import type { Integration } from '../engine/connections/connection-store.ts'
import type { Permit } from '../engine/queue/permit.ts'
import type { Environment } from './env.ts'
import type { Exports } from './functions.ts'

/** A validated config. */
export interface ProjectConfig extends IntegrationSetup {
  readonly connections: ReadonlyMap<string, ConnectionSetup>
  /** Those of integrations that syncs made by the API use. */
  readonly kept: Kept
  /** Which connections keys of a project may use. */
  readonly projects: ReadonlyMap<string, readonly string[]>
  /** In the order of the file. */
  readonly syncs: readonly SyncSetup[]
  /** Those of them that calls of the API made, with the projects that they belong to. */
  readonly made: ReadonlyMap<string, string | null>
  /** What is wrong with others that calls of the API made, by name. */
  readonly setAside: ReadonlyMap<string, SyncError>
  /** Asked before every run and every action of the service; null: nobody is. */
  readonly permit: Permit | null
}

/** What syncs have to know of a connection. */
export interface ConnectionTraits {
  /** The connector's name. */
  readonly system: string
  /** Equal for two connections to the same place with the same options; holds no secret. */
  readonly identity: string
  /** How long a run may take that reads this collection; null: as long as it takes. */
  timeoutOf(collection: string): number | null
}

/** Connections of integrations, by name, with whose they are; an error: that one can't be used now. */
export type Kept = ReadonlyMap<string, (ConnectionTraits & { readonly project: string | null }) | SyncError>

/** A connection that can be opened. */
export interface ConnectionSetup extends ConnectionTraits {
  open(context: Context): Promise<Connection>
  /** Null: nothing can be done there. */
  readonly acting: Omit<ActingConnection, 'project'> | null
  /** Null: its system sends no webhooks. */
  readonly webhook: ((request: WebhookRequest) => Promise<WebhookVerdict | null>) | null
}

/** By name; null: there are mistakes in it, or it is an integration's. */
export type KnownSetups = ReadonlyMap<string, ConnectionSetup | null>

/** Connectors that integrations may name, own ones and those built in, and the integrations. */
export interface IntegrationSetup {
  readonly connectors: readonly AnyConnector[]
  readonly integrations: readonly Integration[]
}
export interface OneWaySetup {
  readonly kind: 'one-way'
  readonly name: string
  readonly from: Place
  readonly to: Place
  readonly patterns: readonly string[] | null
  readonly options: Omit<Sync, 'id' | 'from' | 'to'>
}
export interface TwoWaySetup {
  readonly kind: 'two-way'
  readonly name: string
  readonly left: Place
  readonly right: Place
  readonly patterns: null
  readonly options: TwoWayOptions
}

/** A connection, or one of its collections as the person spelled it. */
export interface Place {
  readonly connection: string
  readonly collection: string | null
}
export interface Surroundings {
  /** The config file's name, for messages. */
  readonly file: string
  /** The folder that relative paths are relative to. */
  readonly folder: string
  readonly environment: Environment
  /** The secrets that the config names, as far as the vault has them. */
  readonly secrets?: ReadonlyMap<string, string>
  /** What the config file exports by name, for syncs that are written in JSON; absent: nothing. */
  readonly exports?: Exports
  /** Connections of integrations that the syncs name; absent: none. */
  readonly kept?: Kept
}
export type TwoWayOptions = Omit<TwoWaySync, 'id' | 'left' | 'right' | 'cycle'>

/** A sync as written; patterns are not expanded yet. */
export type SyncSetup = OneWaySetup | TwoWaySetup
