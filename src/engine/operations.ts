/** What a person can do with a running project: what the server offers, whoever implements it. */
import type { WebhookRequest, WebhookVerdict } from '../connectors/kit.ts'
import type { EngineEvent } from '../core/event.ts'
import type { AnySync } from '../core/two-way.ts'
import type { Store } from '../store/store.ts'
import type { Events } from './events.ts'
import type { Project } from './project.ts'
import type { Service } from './service.ts'
import type { Webhooks } from './webhooks.ts'

export interface Operations {
  readonly store: Store
  readonly service: Service
  readonly events: Events
  /** The syncs there are now. */
  syncs(): readonly KnownSync[]
  connections(): readonly KnownConnection[]
  readonly webhooks: Webhooks
  /** Whether the connection's system has signed this; null: it has not, or there is no such connection, or it sends none. */
  verifyWebhook(connection: string, request: WebhookRequest): Promise<WebhookVerdict | null>
  /** Whether a sync has this connection on one of its sides. */
  reads(sync: AnySync, connection: string): boolean
  /** Lends a project with open connections, which only reads. */
  use<Result>(work: (project: Project) => Promise<Result>, signal: AbortSignal): Promise<Result>
  /** Adds or replaces a sync, written as in a config file. CONFIG_INVALID tells every mistake. */
  putSync(name: string, definition: unknown, project: string | null): Promise<readonly KnownSync[]>
  /** False: no call of the API made it. */
  removeSync(name: string): Promise<boolean>
}

export interface KnownSync {
  readonly sync: AnySync
  /** Whether the config file says it, or a call of the API. */
  readonly origin: 'config' | 'api'
  /** Null: nobody's in particular. */
  readonly project: string | null
}

export interface KnownConnection {
  readonly name: string
  readonly connector: string
  readonly project: string | null
}

/** The project that what an event is about belongs to; null: nobody's in particular. */
export function projectOf(event: EngineEvent, operations: Pick<Operations, 'syncs' | 'connections'>): string | null {
  if ('sync' in event) return operations.syncs().find(({ sync }) => sync.id === event.sync)?.project ?? null
  return operations.connections().find(({ name }) => name === event.connection)?.project ?? null
}
