/** An open SQLite file. */
import type { Connection, Context } from '../connector.ts'
import { discoverTables } from './catalog.ts'
import type { SqliteConfig } from './config.ts'
import { keepHandles, withHandle } from './handles.ts'
import { openCollection } from './read.ts'
import { openSink } from './sink.ts'

/** Each connection keeps its own handles, also where two are given one config. */
export async function openSqlite(given: SqliteConfig, context: Context): Promise<Connection> {
  const config = { ...given }
  const closeHandles = keepHandles(config)
  return {
    discover: async () => withHandle(config, toRead, discoverTables),
    collection: async (name, options = {}) => openCollection(config, context, name, options),
    sink: async () => openSink(config, context),
    [Symbol.asyncDispose]: async () => closeHandles(),
  }
}

const toRead = { readOnly: true, create: false }
