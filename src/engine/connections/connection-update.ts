/** Changing connections: what they are checked for, and what may take the place of one that can't be read. */
import { asSyncError, SyncError } from '../../core/error.ts'
import {
  type ConnectionChange,
  type ConnectionRemains,
  type ConnectionStore,
  changeConnection,
  type EngineConnection,
  isUnreadable,
  REPLACE_IT,
} from './connection-store.ts'
import { type Integrations, nothingNamed } from './integrations.ts'

/** A whole connection in the place of one that can't be read, of which something may be left. `error`: why it can't. */
export type ConnectionRenewal = (left: ConnectionRemains, error: SyncError) => EngineConnection

/** `moved`: it is of another integration now. CONNECTION_UNKNOWN, and as `checkConnection`. */
export async function updateConnection(
  id: string,
  change: ConnectionChange,
  anew: ConnectionRenewal,
  connections: ConnectionStore,
  integrations: Integrations,
): Promise<{ readonly updated: EngineConnection; readonly moved: boolean }> {
  let readable = false
  let moved = false
  const changed = (before: EngineConnection) => {
    readable = true
    const after = change(before)
    checkChange(before, after, integrations)
    moved = before.integrationId !== after.integrationId
    return after
  }
  try {
    return { updated: await changeConnection(connections, id, changed), moved }
  } catch (error) {
    if (readable || !isUnreadable(error) || connections.replace === undefined) throw error
    const made = (left: ConnectionRemains) => {
      const after = anew(left, error)
      checkConnection(after, integrations)
      moved = left.integrationId !== after.integrationId
      return after
    }
    return { updated: await connections.replace(id, made), moved }
  }
}

/** INTEGRATION_UNKNOWN, SYNC_UNKNOWN, CONFIG_INVALID: it does not fit its integration and connector. */
export function checkConnection(connection: EngineConnection, integrations: Integrations): void {
  const { connector } = integrations.partsOf(connection)
  for (const name of [...(connection.activeSyncs ?? []), ...Object.keys(connection.schedules ?? {})])
    if (!connector.syncs.has(name)) throw nothingNamed('sync', name, [...connector.syncs.keys()])
}

/** Where it is the connection as it was that fits its connector no more, that is what is to be changed. */
function checkChange(before: EngineConnection, after: EngineConnection, integrations: Integrations): void {
  try {
    checkConnection(after, integrations)
  } catch (error) {
    const { code, message, hint } = asSyncError(error)
    if (after.config !== before.config || hint !== null || code === 'SYNC_UNKNOWN') throw error
    throw new SyncError(code, message, { hint: REPLACE_IT })
  }
}
