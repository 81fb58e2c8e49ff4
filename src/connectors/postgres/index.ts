/** The postgres connector: `postgres({ url: env('SHOP_URL') })`. */
import { defineConnector } from '../kit.ts'
import { postgresConfig } from './config.ts'

export type { PostgresConfig, PostgresOptions } from './config.ts'

/** A Postgres database, as source or target. */
export const postgres = defineConnector({
  name: 'postgres',
  description: 'A Postgres database, as source or target.',
  config: postgresConfig,
  open: async (config, context) => (await import('./connection.ts')).openPostgres(config, context),
})
