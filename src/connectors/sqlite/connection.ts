/** An open SQLite file. */
import type { Connection, Context } from '../connector.ts'
import { discoverTables } from './catalog.ts'
import { attempt, openDatabase } from './database.ts'
import type { SqliteConfig } from './index.ts'
import { openCollection } from './read.ts'
import { openSink } from './sink.ts'

export async function openSqlite(config: SqliteConfig, context: Context): Promise<Connection> {
  return {
    discover: async () => {
      using database = openDatabase(config, { readOnly: true, create: false })
      return attempt(config.file, () => discoverTables(database))
    },
    collection: async (name, options = {}) => openCollection(config, context, name, options),
    sink: async () => openSink(config, context),
    [Symbol.asyncDispose]: async () => {},
  }
}
