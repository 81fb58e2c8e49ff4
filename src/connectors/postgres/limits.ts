/** What Postgres can't hold. Longer names it cuts without an error, so that two become one. */
import type { Limits } from '../limits.ts'

export const limits: Limits = {
  system: 'Postgres',
  nameBytes: 63,
  columns: 1600,
  keyColumns: 32,
  reservedColumns: ['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid'],
  reservedTables: null,
  foldsCase: false,
}
