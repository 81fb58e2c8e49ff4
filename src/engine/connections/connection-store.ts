/** Integrations and connections as embedders give them, and where connections are kept. */
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import type { WorkLimits } from '../../connectors/apart.ts'
import { type ErrorCode, SyncError } from '../../core/error.ts'
import type { Log } from '../../core/log.ts'
import type { Schedule } from '../../core/schedule.ts'
import { allRecords } from '../../store/all-records.ts'
import type { RecordStore, StoredRecord } from '../../store/records.ts'
import { scheduleSchema } from '../../store/rows.ts'
import type { Vault } from '../secrets/vault.ts'

/** A connector set up for use. */
export interface Integration {
  readonly id: string
  readonly name?: string
  /** The connector's name. */
  readonly connectorId: string
  /** What all its connections share, like an app's client id; none of them can say it otherwise. */
  readonly config?: Readonly<Record<string, unknown>>
  /** The folder that holds all files that its connections may name; absent: none. The service heeds it; whoever embeds the engine adds connections in code. */
  readonly root?: string
  /** What work with its connections may take, where it is done in a process of its own; none of them can say it otherwise. Default: `workLimits`. */
  readonly work?: Partial<WorkLimits>
  /** The syncs switched on. Default: all that the connector has. */
  readonly syncs?: readonly string[]
  /** The actions switched on. Default: all that the connector has. */
  readonly actions?: readonly string[]
  /** When its syncs run, by their names. Default: as the connector says. */
  readonly schedules?: Readonly<Record<string, Schedule>>
  /** For its syncs that say nothing else: above 0, up to a year. Default: the engine's. */
  readonly minutesBetweenSyncs?: number
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
  /** How often they run, in minutes: above 0, up to a year. Default: the engine's. */
  readonly minutesBetweenSyncs?: number
  /** When syncs of it run, by their names, whatever else is said. Default: as often as all of its. */
  readonly schedules?: Readonly<Record<string, Schedule>>
  /** Who it belongs to, where several share the engine. */
  readonly project?: string
}

/** A connection without what may hold secrets. */
export type ConnectionOutline = Omit<EngineConnection, 'config'>

/** What becomes of a connection; what it throws keeps the connection as it is. */
export type ConnectionChange = (before: EngineConnection) => EngineConnection

/** What is left of a connection that can't be read. */
export type ConnectionRemains = Partial<Omit<ConnectionOutline, 'id'>>

/** Where connections are kept. */
export interface ConnectionStore {
  create(connection: EngineConnection): Promise<EngineConnection>
  read(connectionId: string): Promise<EngineConnection | undefined>
  readAll(): Promise<EngineConnection[]>
  /** All, without their config. Absent: it is as cheap to read them whole. */
  outlines?(): Promise<ConnectionOutline[]>
  /** One, without its config. Absent: it is as cheap to read it whole. */
  outline?(connectionId: string): Promise<ConnectionOutline | undefined>
  /** Keeps it in the place of the one of its id. CONNECTION_UNKNOWN. */
  update(connection: EngineConnection): Promise<EngineConnection>
  /**
   * Keeps what `change` makes of it, which is called again when somebody else changed it meanwhile. CONNECTION_UNKNOWN. Absent: it is read
   * and updated, and of what two change at the same time the later counts.
   */
  change?(connectionId: string, change: ConnectionChange): Promise<EngineConnection>
  /**
   * Keeps what `make` gives in the place of a connection that is there and can't be read; called again as `change` calls its own.
   * Absent: there are none such.
   */
  replace?(connectionId: string, make: (left: ConnectionRemains) => EngineConnection): Promise<EngineConnection>
  delete(connectionId: string): Promise<void>
}

/** CONNECTION_UNKNOWN, and what `change` throws. */
export async function changeConnection(
  connections: ConnectionStore,
  id: string,
  change: ConnectionChange,
): Promise<EngineConnection> {
  if (connections.change !== undefined) return await connections.change(id, change)
  const before = await connections.read(id)
  if (before === undefined) throw unknownConnection(id)
  return await connections.update(change(before))
}

export async function outlinesOf(connections: ConnectionStore): Promise<readonly ConnectionOutline[]> {
  return await (connections.outlines?.() ?? connections.readAll())
}

export async function outlineOf(connections: ConnectionStore, id: string): Promise<ConnectionOutline | undefined> {
  return await (connections.outline?.(id) ?? connections.read(id))
}

/** Connections in this process, gone with it: for tests, and for embedders who keep them themselves. */
export class InMemoryConnectionStore implements ConnectionStore {
  readonly #connections = new Map<string, EngineConnection>()

  async create(connection: EngineConnection): Promise<EngineConnection> {
    if (this.#connections.has(connection.id)) throw takenId(connection.id)
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
    return await this.change(connection.id, () => connection)
  }

  async change(connectionId: string, change: ConnectionChange): Promise<EngineConnection> {
    const before = this.#connections.get(connectionId)
    if (before === undefined) throw unknownConnection(connectionId)
    const after = change(before)
    this.#connections.set(connectionId, after)
    return after
  }

  async delete(connectionId: string): Promise<void> {
    this.#connections.delete(connectionId)
  }
}

const KIND = 'connection'
const stored = z.object({
  id: z.string(),
  integrationId: z.string(),
  activeSyncs: z.array(z.string()).exactOptional(),
  minutesBetweenSyncs: z.number().positive().exactOptional(),
  schedules: z.record(z.string(), scheduleSchema).exactOptional(),
  project: z.string().exactOptional(),
})
/** The name of its secret: a new one with every change, so that of two who change it neither writes into the other's. */
const named = z.object({ secret: z.string() })
const config = z.record(z.string(), z.unknown())

/** Connections in the engine's store; what may hold secrets is in the vault. */
export class StoredConnections implements ConnectionStore {
  readonly #records: RecordStore
  readonly #vault: Vault
  readonly #log: Log

  constructor(records: RecordStore, vault: Vault, log: Log) {
    this.#records = records
    this.#vault = vault
    this.#log = log
  }

  async create(connection: EngineConnection): Promise<EngineConnection> {
    if ((await this.#records.get(KIND, connection.id)) !== null) throw takenId(connection.id)
    if (!(await this.#put(connection, 0))) throw takenId(connection.id)
    return connection
  }

  /** CONFIG_INVALID, VAULT_UNUSABLE: it is there and can't be read. */
  async read(connectionId: string): Promise<EngineConnection | undefined> {
    const record = await this.#records.get(KIND, connectionId)
    return record === null ? undefined : await this.#open(record)
  }

  /** Those that can be read; the log names the others. */
  async readAll(): Promise<EngineConnection[]> {
    const all: EngineConnection[] = []
    for await (const record of allRecords(this.#records, KIND)) {
      const connection = await this.#open(record).catch((error: unknown) => this.#skip(error))
      if (connection !== undefined) all.push(connection)
    }
    return all
  }

  /** Those that can be read, without opening the vault. */
  async outlines(): Promise<ConnectionOutline[]> {
    const all: ConnectionOutline[] = []
    for await (const { body } of allRecords(this.#records, KIND)) {
      const connection = stored.safeParse(jsonOf(body))
      if (connection.success) all.push(connection.data)
    }
    return all
  }

  /** CONFIG_INVALID: it is there and can't be read. */
  async outline(connectionId: string): Promise<ConnectionOutline | undefined> {
    const record = await this.#records.get(KIND, connectionId)
    return record === null ? undefined : parseOutline(record)
  }

  /** Also one that can't be read. */
  async update(connection: EngineConnection): Promise<EngineConnection> {
    return await this.replace(connection.id, () => connection)
  }

  /** CONFIG_INVALID, VAULT_UNUSABLE: it is there and can't be read. */
  async change(connectionId: string, change: ConnectionChange): Promise<EngineConnection> {
    // Also where it opens a newer one: then that of this version is not replaced.
    return await this.#change(connectionId, async (record) => change(await this.#open(record)))
  }

  async replace(connectionId: string, make: (left: ConnectionRemains) => EngineConnection): Promise<EngineConnection> {
    return await this.#change(connectionId, async (record) => make(remainsOf(record)))
  }

  async delete(connectionId: string): Promise<void> {
    const record = await this.#records.get(KIND, connectionId)
    if (record === null) return
    await this.#records.delete(KIND, connectionId)
    await this.#vault.delete(secretOf(record))
  }

  async #change(
    connectionId: string,
    changeOf: (record: StoredRecord) => Promise<EngineConnection>,
  ): Promise<EngineConnection> {
    for (;;) {
      const record = await this.#records.get(KIND, connectionId)
      if (record === null) throw unknownConnection(connectionId)
      const after = await changeOf(record)
      if (!(await this.#put(after, record.version))) continue
      await this.#vault.delete(secretOf(record))
      return after
    }
  }

  /** The secrets first: a connection that is there can be used. False: somebody else changed it, and nothing is left of this. */
  async #put({ config: secrets, ...connection }: EngineConnection, expected: number): Promise<boolean> {
    const secret = `connection/${connection.id}/${randomBytes(8).toString('hex')}`
    await this.#vault.set(secret, JSON.stringify(secrets))
    const body = JSON.stringify({ ...connection, secret })
    const version = await this.#records.put({ kind: KIND, id: connection.id, body, expiresAt: null }, expected)
    if (version === null) await this.#vault.delete(secret)
    return version !== null
  }

  async #open(record: StoredRecord): Promise<EngineConnection> {
    const outline = parseOutline(record)
    const secret = await this.#vault.get(secretOf(record))
    if (secret !== null) {
      const secrets = config.safeParse(jsonOf(secret))
      if (!secrets.success) throw unreadable(record.id)
      return { ...outline, config: secrets.data }
    }
    // Whoever changed it meanwhile took the secret away that this record names.
    const now = await this.#records.get(KIND, record.id)
    return now === null || now.version === record.version ? { ...outline, config: {} } : await this.#open(now)
  }

  #skip(error: unknown): undefined {
    if (!isUnreadable(error)) throw error
    this.#log(error.message, 'warn')
  }
}

/** The versions of all that are stored, those that can't be read included: another with every change. */
export async function connectionVersions(records: RecordStore): Promise<ReadonlyMap<string, number>> {
  const versions = new Map<string, number>()
  for await (const { id, version } of allRecords(records, KIND)) versions.set(id, version)
  return versions
}

/** Of one; undefined: there is none of that name. */
export async function connectionVersion(records: RecordStore, id: string): Promise<number | undefined> {
  return (await records.get(KIND, id))?.version
}

const UNREADABLE: ReadonlySet<ErrorCode> = new Set(['CONFIG_INVALID', 'VAULT_UNUSABLE'])

/** Whether a connection is there and can't be read, and not that there is none, or that its store does not answer. */
export function isUnreadable(error: unknown): error is SyncError {
  return error instanceof SyncError && UNREADABLE.has(error.code)
}

/** Of what is no connection, what is as it should be. */
function remainsOf({ body }: StoredRecord): ConnectionRemains {
  const written = z.record(z.string(), z.unknown()).safeParse(jsonOf(body)).data ?? {}
  const fields = Object.entries(stored.shape).filter(([name]) => name !== 'id')
  const left = fields.flatMap(([name, field]) => {
    const { data } = field.safeParse(written[name])
    return data === undefined ? [] : [[name, data] as const]
  })
  return Object.fromEntries(left)
}

function parseOutline({ id, body }: StoredRecord): ConnectionOutline {
  const outline = stored.safeParse(jsonOf(body))
  if (!outline.success) throw unreadable(id)
  return outline.data
}

/** Before they had names of their own, secrets were under the connection's. */
function secretOf({ id, body }: StoredRecord): string {
  const known = named.safeParse(jsonOf(body))
  return known.success ? known.data.secret : `connection/${id}`
}

/** Undefined: it is no JSON. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export const REPLACE_IT = 'Update it with its integration and its whole `config`, or remove it and add it anew.'

function unreadable(id: string): SyncError {
  return new SyncError('CONFIG_INVALID', `what is stored of connection "${id}" can't be read`, {
    hint: REPLACE_IT,
  })
}

export function takenId(id: string): SyncError {
  return new SyncError('CONFIG_INVALID', `there is a connection or a sync "${id}" already`, {
    hint: 'Choose another id, or update that one.',
  })
}

export function unknownConnection(id: string): SyncError {
  return new SyncError('CONNECTION_UNKNOWN', `there is no connection "${id}"`)
}
