/** The syncs of connections: each lists rows of a system into a collection of the engine's own, as a one-way sync like any other. */
import type { AnyConnector } from '../../connectors/kit.ts'
import { SyncError } from '../../core/error.ts'
import { parseSchedule, type Schedule } from '../../core/schedule.ts'
import { defaults, HANDLER_TIMEOUT_MS, type Sync } from '../../core/sync.ts'
import type { SyncId } from '../../core/sync-id.ts'
import type { ConnectionOutline, Integration } from './connection-store.ts'
import type { Integrations } from './integrations.ts'

/** Before the names of the connections to the engine's own collections: one per sync, so that one that is slow keeps no other waiting. */
const COLLECTIONS = '_collections/'

/** The collection of the engine's own whose connection this is; null: it is none. */
export function gatheredBy(connection: string): string | null {
  return connection.startsWith(COLLECTIONS) ? connection.slice(COLLECTIONS.length) : null
}

export function syncIdOf(connectionId: string, syncName: string): SyncId {
  return `${connectionId}/${syncName}`
}

/** What a sync's id is made of; null: it is none of a connection's. */
export function partsOf(id: SyncId): { readonly connectionId: string; readonly syncName: string } | null {
  const [connectionId, ...rest] = id.split('/')
  return connectionId === undefined || rest.length === 0 ? null : { connectionId, syncName: rest.join('/') }
}

/** Where its rows are: under the sync's id, as no connection's id holds the slash. */
export const collectionOf = syncIdOf

/** The names of the syncs that a connection runs. INTEGRATION_UNKNOWN, CONFIG_INVALID. */
export function namesOf(connection: ConnectionOutline, integrations: Integrations): readonly string[] {
  const integration = integrations.find(connection.integrationId)
  const on = integration.syncs ?? [...integrations.connector(integration.connectorId).syncs.keys()]
  return connection.activeSyncs === undefined ? on : on.filter((name) => connection.activeSyncs?.includes(name))
}

/** One of them, as its integration and connector are now; `minutes` between its runs, where none of them says anything. */
export function syncOf(connection: ConnectionOutline, name: string, integrations: Integrations, minutes: number): Sync {
  const integration = integrations.find(connection.integrationId)
  const connector = integrations.connector(integration.connectorId)
  const schedule = scheduleOf(name, connection, integration, connector, minutes)
  return handlerSync(connection.id, name, schedule, connector.syncs.get(name)?.timeoutMs)
}

/** What the connection says of the sync goes before what it says of all, then come its integration and its connector; `minutes` where none says anything. */
function scheduleOf(
  syncName: string,
  connection: ConnectionOutline,
  integration: Integration,
  connector: AnyConnector,
  minutes: number,
): Schedule {
  const own = connection.schedules?.[syncName]
  if (own !== undefined) return own
  if (connection.minutesBetweenSyncs !== undefined) return everyMinutes(connection.minutesBetweenSyncs)
  const chosen = integration.schedules?.[syncName]
  if (chosen !== undefined) return chosen
  return writtenSchedule(syncName, connector) ?? everyMinutes(integration.minutesBetweenSyncs ?? minutes)
}

/** Cron expressions take 0.1 ms to read: 1.1 s of a start with 2,000 connections of two syncs, when each was read anew. */
const read = new WeakMap<object, Schedule>()

/** What the connector says; null: nothing. */
function writtenSchedule(syncName: string, connector: AnyConnector): Schedule | null {
  const definition = connector.syncs.get(syncName)
  if (definition?.schedule === undefined) return null
  const known = read.get(definition)
  if (known !== undefined) return known
  const schedule = parseSchedule(definition.schedule)
  if (typeof schedule === 'string')
    throw new SyncError('CONFIG_INVALID', `sync ${syncName} of connector ${connector.name}: ${schedule}`)
  read.set(definition, schedule)
  return schedule
}

function everyMinutes(minutes: number): Schedule {
  return { kind: 'interval', everyMs: Math.max(1, Math.round(minutes * 60_000)) }
}

export function handlerSync(
  connectionId: string,
  syncName: string,
  schedule: Schedule,
  timeoutMs = HANDLER_TIMEOUT_MS,
): Sync {
  return {
    id: syncIdOf(connectionId, syncName),
    from: { connection: connectionId, collection: syncName },
    to: {
      connection: `${COLLECTIONS}${collectionOf(connectionId, syncName)}`,
      collection: collectionOf(connectionId, syncName),
    },
    fields: null,
    where: null,
    key: null,
    cursor: null,
    mode: 'auto',
    deletes: 'propagate',
    guard: defaults.guard,
    batch: defaults.batch,
    adopt: false,
    schedule,
    timeoutMs,
  }
}
