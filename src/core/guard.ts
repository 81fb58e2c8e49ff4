/** The delete guard: how many deletions go through without a person. */
import type { Guard } from './sync.ts'

export interface Deletions {
  readonly deletes: number
  /** Rows the target held before. */
  readonly targetRows: number
  readonly sourceRows: number
  /** What a person released; null: nothing. */
  readonly released: number | null
}

/** Whether a run's deletions must wait for a person. An empty source over a non-empty target always does. */
export function holds(guard: Guard, { deletes, targetRows, sourceRows, released }: Deletions): boolean {
  if (deletes === 0 || (released !== null && deletes <= released)) return false
  if (sourceRows === 0) return true
  return deletes > guard.maxDeletes && deletes > guard.maxDeleteShare * targetRows
}
