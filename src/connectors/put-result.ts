/** What puts came to, counted together. */
import type { PutResult } from './connector.ts'

export const nothingPut: PutResult = { inserted: 0, updated: 0, unchanged: 0, rejected: [] }

export function addPuts(a: PutResult, b: PutResult): PutResult {
  return {
    inserted: a.inserted + b.inserted,
    updated: a.updated + b.updated,
    unchanged: a.unchanged + b.unchanged,
    rejected: [...a.rejected, ...b.rejected],
  }
}
