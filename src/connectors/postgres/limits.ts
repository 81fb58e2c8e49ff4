/** What Postgres can't hold. Longer names it cuts without an error, so that two become one. */
import { constants } from 'node:buffer'
import type { Limits } from '../limits.ts'

export const limits: Limits = {
  system: 'Postgres',
  nameBytes: 63,
  columns: 1600,
  keyColumns: 32,
  // As a line of COPY: what the runtime holds as one text. The server's own limit is 1 GB.
  rowBytes: constants.MAX_STRING_LENGTH,
  reservedColumns: ['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid'],
  reservedTables: null,
  foldsCase: false,
}
