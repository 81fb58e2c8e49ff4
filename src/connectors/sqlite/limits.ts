/** What SQLite can't hold, as Node builds it. An expression may be 1000 deep: conditions on many columns are joined as a tree (`joined`). */
import type { Limits } from '../limits.ts'

export const limits: Limits = {
  system: 'SQLite',
  nameBytes: null,
  columns: 2000,
  keyColumns: 2000,
  rowBytes: 1_000_000_000,
  reservedColumns: [],
  reservedTables: /^sqlite_/i,
  foldsCase: true,
}
