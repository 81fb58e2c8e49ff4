/** What commands that run syncs without the service do through connections of integrations. Few syncs need one: what it takes is loaded by the first that does. */
import type { LoadedConfig } from '../config/load.ts'
import type { Context } from '../connectors/connector.ts'
import type { Connected } from '../engine/connected.ts'
import type { Openers } from '../engine/connection-pool.ts'
import type { Act } from '../engine/project.ts'
import type { Store } from '../store/store.ts'
import type { Environment } from './open-vault.ts'

export interface Acting {
  /** For steps. */
  readonly act: Act
  /** Those of the config, and those that syncs made by the API use. */
  readonly openers: Openers
}

export function acting(config: LoadedConfig, store: Store, context: Context, environment: Environment): Acting {
  let opened: Promise<Connected> | null = null
  const connected = () => {
    opened ??= import('./kept.ts').then(({ openConnected }) => openConnected(config, store, context, environment))
    return opened
  }
  const kept = (name: string) => ({
    open: async (given: Context) => await (await connected()).opener(name).open(given),
  })
  return {
    act: async (connection, action, input, signal) =>
      await (await connected()).execute(connection, action, input, null, signal),
    openers: {
      get: (name) => config.connections.get(name) ?? (config.kept.has(name) ? kept(name) : undefined),
      keys: () => [...config.connections.keys(), ...config.kept.keys()],
    },
  }
}
