/**
 * Writes that a reference of the database stood in the way of. Other syncs may clear the way, so that such a write is put
 * off once; when it is refused again, it is rejected.
 */
import { isHeldByReference } from '../../connectors/connector.ts'
import type { SideName } from '../../core/two-way.ts'
import type { Pending, Unpaired } from '../../store/pairs.ts'

/** Rows that a reference held back before this run. */
export interface HeldBack {
  readonly pairs: ReadonlySet<number>
  /** Side and key of rows without a pair. */
  readonly alone: ReadonlySet<string>
  /** Pairs whose deletion the guard let go then. */
  readonly deletions: ReadonlySet<number>
}

export function heldBackByReferences(waiting: {
  readonly pairs: readonly Pending[]
  readonly unpaired: readonly Unpaired[]
}): HeldBack {
  const pairs = waiting.pairs.filter(isHeldByReference)
  return {
    pairs: new Set(pairs.map(({ pair }) => pair)),
    alone: new Set(waiting.unpaired.filter(isHeldByReference).map(({ side, key }) => aloneId(side, key))),
    deletions: new Set(
      pairs.filter(({ code }) => code === 'ROW_REFERENCED' || code === 'DEPENDENTS_KEPT').map(({ pair }) => pair),
    ),
  }
}

export function aloneId(side: SideName, key: string): string {
  return `${side}${key}`
}
