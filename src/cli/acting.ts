/** Actions of connections for commands that run syncs without the service: their steps need them. */
import { join } from 'node:path'
import type { LoadedConfig } from '../config/load.ts'
import type { Context } from '../connectors/connector.ts'
import type { Connected } from '../engine/connected.ts'
import type { Act } from '../engine/project.ts'
import type { Store } from '../store/store.ts'
import type { Environment } from './open-vault.ts'

/** What it needs is loaded by the first step: few syncs have one. */
export function acting(config: LoadedConfig, store: Store, context: Context, environment: Environment): Act {
  let opened: Promise<Connected> | null = null
  return async (connection, action, input, signal) => {
    opened ??= open(config, store, context, environment)
    return await (await opened).execute(connection, action, input, null, signal)
  }
}

async function open(
  config: LoadedConfig,
  store: Store,
  context: Context,
  environment: Environment,
): Promise<Connected> {
  const [
    { Connected },
    { StoredConnections },
    { Events },
    { Integrations },
    { Limiter },
    { permitting },
    { rowsPlace },
    { openVault },
  ] = await Promise.all([
    import('../engine/connected.ts'),
    import('../engine/connections.ts'),
    import('../engine/events.ts'),
    import('../engine/integrations.ts'),
    import('../engine/limits.ts'),
    import('../engine/permit.ts'),
    import('../engine/rows-place.ts'),
    import('./open-vault.ts'),
  ])
  const vault = openVault(store, config.folder, environment)
  const events = new Events(context.log)
  events.guard(
    permitting(
      () => config.permit,
      () => null,
    ),
  )
  const integrations = new Integrations(config.connectors)
  for (const integration of config.integrations) integrations.put(integration)
  return new Connected({
    ...{ store, vault, context, integrations, events },
    connections: new StoredConnections(store.records, vault, context.log),
    limiter: new Limiter(context.clock, context.random, undefined, async () => store.limits ?? null),
    rows: rowsPlace(store, join(config.folder, '.syncline', 'collections')),
    minutesBetweenSyncs: 15,
    changed: async () => {},
  })
}
