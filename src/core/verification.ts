/** What a comparison of both sides found. */
import type { PrintedKey } from './run.ts'
import type { SyncId } from './sync-id.ts'

export interface Verification {
  readonly sync: SyncId
  readonly equal: boolean
  /** Rows the target should hold, and rows it holds: after a repair, as it left them. */
  readonly left: number
  readonly right: number
  readonly missing: number
  readonly extra: number
  readonly different: number
  /** Rows that a side can't give, or that can't be mapped: nobody can say that they are equal. */
  readonly unreadable: number
  /** At most 20 keys each. */
  readonly keys: Readonly<Record<Difference, readonly PrintedKey[]>>
  /** Rows written or deleted by `--repair`; 0 without it. */
  readonly repaired: number
}

/** What keeps two sides from being equal. Every row of a side is the same, or is one of these. */
export type Difference = 'missing' | 'extra' | 'different' | 'unreadable'
export const differences: readonly Difference[] = ['missing', 'extra', 'different', 'unreadable']

/** One for each kind of difference. */
export function byDifference<Of>(make: (kind: Difference) => Of): Record<Difference, Of> {
  return {
    missing: make('missing'),
    extra: make('extra'),
    different: make('different'),
    unreadable: make('unreadable'),
  }
}
