/** Connections of integrations as syncs made by the API use them. */

import { describeConnection, type Kept } from '../config/connection-schema.ts'
import { builtIn } from '../config/connectors.ts'
import { resolveFiles } from '../config/files.ts'
import type { ProjectConfig } from '../config/schema.ts'
import { asSyncError, type SyncError } from '../core/error.ts'
import { StoredConnections, unknownConnection } from '../engine/connections.ts'
import { Integrations, type Locate } from '../engine/integrations.ts'
import { openStore } from '../store/open.ts'
import { type Environment, openVault } from './open-vault.ts'

/** Relative paths are relative to the config file, as they are in it. */
export function locatedIn(folder: string): Locate {
  return (connector, options) => resolveFiles(options, builtIn(connector).files, folder)
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
  const integrations = integrationsOf(config, folder)
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
export function integrationsOf({ connectors, integrations: all }: ProjectConfig, folder: string): Integrations {
  const integrations = new Integrations(connectors, locatedIn(folder))
  for (const integration of all) integrations.put(integration)
  return integrations
}
