/** A SQLite file that a caller named, opened in a process of its own. */
import { openApart, type WorkLimits } from '../apart.ts'
import type { Connection, Context } from '../connector.ts'
import type { SqliteConfig } from './config.ts'
import { limits as rowLimits } from './limits.ts'
import { declaredLoss } from './types.ts'

/** A row is there as it was read, as a value, and as it is sent: of its memory a process has so much for one. */
const ROW_SHARE = 8

export async function openSqliteApart(config: SqliteConfig, context: Context, limits: WorkLimits): Promise<Connection> {
  const entry = new URL(`./process${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)
  const maxRowBytes = Math.min(
    config.maxRowBytes ?? rowLimits.rowBytes,
    Math.ceil((limits.memoryMb * 2 ** 20) / ROW_SHARE),
  )
  const what = `the SQLite file ${config.file}`
  const connection = await openApart({ entry, what, config: { ...config, maxRowBytes }, limits }, context)
  const { sink } = connection
  // A function of values, which does not cross.
  return {
    ...connection,
    ...(sink === undefined ? {} : { sink: async (syncs) => ({ ...(await sink(syncs)), declaredLoss }) }),
  }
}
