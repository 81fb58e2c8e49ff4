/** An open Postgres database. */
import type { Connection, Context } from '../connector.ts'
import { discoverTables } from './catalog.ts'
import { connect } from './client.ts'
import type { PostgresConfig } from './config.ts'
import { openCollection } from './read.ts'
import { openSink } from './sink.ts'

export async function openPostgres(config: PostgresConfig, context: Context): Promise<Connection> {
  // One session for the catalog; each read and each sink has its own.
  const client = await connect(config, context.signal)
  return {
    discover: async () => (await discoverTables(client)).map((table) => table.schema),
    collection: (name, options = {}) => openCollection(config, context, client, name, options),
    sink: async () => openSink(config, context),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  }
}
