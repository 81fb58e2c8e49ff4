/** Integrations and connections as embedders give them, and where connections are kept. */
import { z } from 'zod'
import { SyncError } from '../core/error.ts'
import type { RecordStore } from '../store/records.ts'
import type { Vault } from './vault.ts'

/** A connector set up for use. */
export interface Integration {
  readonly id: string
  readonly name?: string
  /** The connector's name. */
  readonly connectorId: string
  /** What all its connections share, like an app's client id; a connection's own config comes on top. */
  readonly config?: Readonly<Record<string, unknown>>
  /** The syncs switched on. Default: all that the connector has. */
  readonly syncs?: readonly string[]
  /** The actions switched on. Default: all that the connector has. */
  readonly actions?: readonly string[]
}

/** One account or database reached through an integration. */
export interface EngineConnection {
  /** Letters, digits, `_` and `-`. */
  readonly id: string
  readonly integrationId: string
  /** By the connector's `config`; secrets included, so it is kept in the vault and never told. */
  readonly config: Readonly<Record<string, unknown>>
  /** The syncs of the integration that this connection runs. Default: all. */
  readonly activeSyncs?: readonly string[]
  /** How often they run, in minutes. Default: the engine's. */
  readonly minutesBetweenSyncs?: number
  /** Who it belongs to, where several share the engine. */
  readonly project?: string
}

/** Where connections are kept. */
export interface ConnectionStore {
  create(connection: EngineConnection): Promise<EngineConnection>
  read(connectionId: string): Promise<EngineConnection | undefined>
  readAll(): Promise<EngineConnection[]>
  update(connection: EngineConnection): Promise<EngineConnection>
  delete(connectionId: string): Promise<void>
}

/** Connections in this process, gone with it: for tests, and for embedders who keep them themselves. */
export class InMemoryConnectionStore implements ConnectionStore {
  readonly #connections = new Map<string, EngineConnection>()

  async create(connection: EngineConnection): Promise<EngineConnection> {
    if (this.#connections.has(connection.id)) throw taken(connection.id)
    this.#connections.set(connection.id, connection)
    return connection
  }

  async read(connectionId: string): Promise<EngineConnection | undefined> {
    return this.#connections.get(connectionId)
  }

  async readAll(): Promise<EngineConnection[]> {
    return [...this.#connections.values()]
  }

  async update(connection: EngineConnection): Promise<EngineConnection> {
    if (!this.#connections.has(connection.id)) throw unknownConnection(connection.id)
    this.#connections.set(connection.id, connection)
    return connection
  }

  async delete(connectionId: string): Promise<void> {
    this.#connections.delete(connectionId)
  }
}

const KIND = 'connection'
const PAGE = 500
const stored = z.object({
  id: z.string(),
  integrationId: z.string(),
  activeSyncs: z.array(z.string()).exactOptional(),
  minutesBetweenSyncs: z.number().exactOptional(),
  project: z.string().exactOptional(),
})
const config = z.record(z.string(), z.unknown())

/** Connections in the engine's store; what may hold secrets is in the vault. */
export class StoredConnections implements ConnectionStore {
  readonly #records: RecordStore
  readonly #vault: Vault

  constructor(records: RecordStore, vault: Vault) {
    this.#records = records
    this.#vault = vault
  }

  async create(connection: EngineConnection): Promise<EngineConnection> {
    // The secrets first: a connection that is there can be used.
    if ((await this.#records.get(KIND, connection.id)) !== null) throw taken(connection.id)
    await this.#vault.set(secretOf(connection.id), JSON.stringify(connection.config))
    if ((await this.#put(connection, 0)) === null) throw taken(connection.id)
    return connection
  }

  async read(connectionId: string): Promise<EngineConnection | undefined> {
    const record = await this.#records.get(KIND, connectionId)
    return record === null ? undefined : await this.#open(record.body)
  }

  async readAll(): Promise<EngineConnection[]> {
    const all: EngineConnection[] = []
    for (let after = ''; ; ) {
      const page = await this.#records.list(KIND, { after, limit: PAGE })
      for (const { body } of page) all.push(await this.#open(body))
      const last = page.at(-1)
      if (last === undefined) return all
      after = last.id
    }
  }

  async update(connection: EngineConnection): Promise<EngineConnection> {
    const record = await this.#records.get(KIND, connection.id)
    if (record === null) throw unknownConnection(connection.id)
    await this.#vault.set(secretOf(connection.id), JSON.stringify(connection.config))
    await this.#put(connection)
    return connection
  }

  async delete(connectionId: string): Promise<void> {
    await this.#records.delete(KIND, connectionId)
    await this.#vault.delete(secretOf(connectionId))
  }

  async #put({ config: _secret, ...connection }: EngineConnection, expected?: number): Promise<number | null> {
    return await this.#records.put(
      { kind: KIND, id: connection.id, body: JSON.stringify(connection), expiresAt: null },
      expected,
    )
  }

  async #open(body: string): Promise<EngineConnection> {
    const connection = stored.parse(JSON.parse(body))
    const secret = await this.#vault.get(secretOf(connection.id))
    return { ...connection, config: secret === null ? {} : config.parse(JSON.parse(secret)) }
  }
}

function secretOf(id: string): string {
  return `connection/${id}`
}

function taken(id: string): SyncError {
  return new SyncError('CONFIG_INVALID', `there is a connection "${id}" already`, {
    hint: 'Choose another id, or update that one.',
  })
}

export function unknownConnection(id: string): SyncError {
  return new SyncError('CONNECTION_UNKNOWN', `there is no connection "${id}"`)
}
