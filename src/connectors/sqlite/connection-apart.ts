/** A SQLite file that a caller named, opened in a process of its own. */
import { openApart, type WorkLimits } from '../apart.ts'
import type { Connection, Context } from '../connector.ts'
import type { SqliteConfig } from './index.ts'
import { declaredLoss } from './types.ts'

export async function openSqliteApart(config: SqliteConfig, context: Context, limits: WorkLimits): Promise<Connection> {
  const entry = new URL(`./process${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)
  const connection = await openApart({ entry, what: `the SQLite file ${config.file}`, config, limits }, context)
  const { sink } = connection
  // A function of values, which does not cross.
  return {
    ...connection,
    ...(sink === undefined ? {} : { sink: async (syncs) => ({ ...(await sink(syncs)), declaredLoss }) }),
  }
}
