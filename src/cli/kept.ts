/** Connections of integrations, for what runs outside the service: steps that act through them, and syncs made by the API that use them. */
import { join } from 'node:path'
import { builtIn } from '../config/connectors.ts'
import { resolveFiles } from '../config/files.ts'
import type { LoadedConfig } from '../config/load.ts'
import { describeConnection, type Kept, type ProjectConfig } from '../config/schema.ts'
import type { Context } from '../connectors/connector.ts'
import { asSyncError, type SyncError } from '../core/error.ts'
import { Connected } from '../engine/connected.ts'
import { StoredConnections, unknownConnection } from '../engine/connections.ts'
import { Events } from '../engine/events.ts'
import { Integrations, type Locate } from '../engine/integrations.ts'
import { Limiter } from '../engine/limits.ts'
import { permitting } from '../engine/permit.ts'
import { openStore } from '../store/open.ts'
import type { Store } from '../store/store.ts'
import { type Environment, openVault } from './open-vault.ts'

/** Relative paths are relative to the config file, as they are in it. */
export function locatedIn(folder: string): Locate {
  return (connector, options) => resolveFiles(options, builtIn(connector).files, folder)
}

export function openConnected(
  config: LoadedConfig,
  store: Store,
  context: Context,
  environment: Environment,
): Connected {
  const vault = openVault(store, config.folder, environment)
  const events = new Events(context.log)
  events.guard(
    permitting(
      () => config.permit,
      () => null,
    ),
  )
  return new Connected({
    ...{ store, vault, context, events },
    integrations: integrationsOf(config, config.folder),
    connections: new StoredConnections(store.records, vault, context.log),
    limiter: new Limiter(context.clock, context.random, undefined, async () => store.limits ?? null),
    folder: join(config.folder, '.syncline', 'collections'),
    minutesBetweenSyncs: 15,
    changed: async () => {},
  })
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
    return describeConnection(name, connector, handle.config)
  }
  const kept = new Map<string, Awaited<ReturnType<typeof read>> | SyncError>()
  for (const name of names) kept.set(name, await read(name).catch(asSyncError))
  return kept
}

function integrationsOf({ connectors, integrations: all }: ProjectConfig, folder: string): Integrations {
  const integrations = new Integrations(connectors, locatedIn(folder))
  for (const integration of all) integrations.put(integration)
  return integrations
}
