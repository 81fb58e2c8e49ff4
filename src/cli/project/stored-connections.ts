/** Connections of integrations as syncs made by the API use them. */
import { describeConnection } from '../../config/connection-schema.ts'
import { builtIn } from '../../config/connectors.ts'
import { confineFiles } from '../../config/files.ts'
import type { Kept, ProjectConfig } from '../../config/project-config.ts'
import { asSyncError, SyncError } from '../../core/error.ts'
import { StoredConnections, unknownConnection } from '../../engine/connections/connection-store.ts'
import { Integrations, type Locate } from '../../engine/connections/integrations.ts'
import { openStore } from '../../store/open.ts'
import { type Environment, openVault } from './open-vault.ts'

/** Files of connections are inside the folder of their integration, and nothing else of the service's is theirs. */
export const locate: Locate = ({ id, config }, { connectorId, root = null }) => {
  const { files, confine } = builtIn(connectorId)
  try {
    return confineFiles(confine(config), files, root)
  } catch (error) {
    const { code, message, hint } = asSyncError(error)
    throw new SyncError(code, `connection "${id}": ${message}`, hint === null ? {} : { hint })
  }
}

/** What syncs have to know of these connections, as they are kept now. */
export async function readKept(
  folder: string,
  environment: Environment,
  config: ProjectConfig,
  names: readonly string[],
): Promise<Kept> {
  await using store = await openStore(folder, environment, { readOnly: true })
  const connections = new StoredConnections(store.records, openVault(store, folder, environment), () => {})
  const integrations = integrationsOf(config)
  const read = async (name: string) => {
    const connection = await connections.read(name)
    if (connection === undefined) throw unknownConnection(name)
    const { connector, handle } = integrations.partsOf(connection)
    return { ...describeConnection(name, connector, handle.config), project: connection.project ?? null }
  }
  const kept = new Map<string, Awaited<ReturnType<typeof read>> | SyncError>()
  for (const name of names) kept.set(name, await read(name).catch(asSyncError))
  return kept
}

/** Those of the config, set up. */
export function integrationsOf({ connectors, integrations: all }: ProjectConfig): Integrations {
  const integrations = new Integrations(connectors, locate)
  for (const integration of all) integrations.put(integration)
  return integrations
}
