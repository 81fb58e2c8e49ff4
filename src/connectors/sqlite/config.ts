/** What a SQLite connection is set up with. */
import { z } from 'zod'
import { limits } from './limits.ts'

export const sqliteConfig = z.strictObject({
  file: z.string().min(1).describe('the database file; made when it is a target and does not exist'),
  track: z
    .enum(['none', 'triggers'])
    .default('none')
    .describe('triggers: as a source, install triggers that record changed keys'),
  maxRowBytes: z
    .number()
    .int()
    .positive()
    .max(limits.rowBytes)
    .optional()
    .describe('a row that is larger is rejected by its key'),
  // SQLite waits without letting anything else of the process go on.
  busyTimeoutMs: z.number().int().nonnegative().max(60000).default(5000),
})
export type SqliteConfig = z.infer<typeof sqliteConfig>

/** What a person writes: any text may also be `env('NAME')`. A relative file is relative to the config file. */
export type SqliteOptions = z.input<typeof sqliteConfig>
