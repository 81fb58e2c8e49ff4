/** The sqlite connector: `sqlite({ file: './warehouse.db' })`. */
import { defineConnector } from '../kit.ts'
import { sqliteConfig } from './config.ts'

export type { SqliteConfig, SqliteOptions } from './config.ts'

/** A SQLite file, as source or target. */
export const sqlite = defineConnector({
  name: 'sqlite',
  description: 'A SQLite file, as source or target.',
  config: sqliteConfig,
  open: async (config, context) => (await import('./connection.ts')).openSqlite(config, context),
  openApart: async (config, context, limits) =>
    (await import('./connection-apart.ts')).openSqliteApart(config, context, limits),
})
