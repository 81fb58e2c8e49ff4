/**
 * Rows whose unique values stand in each other's way: two that swap them, a column that moves by one. Their values in the target are
 * first moved to where no row has them, then the rows are put: all of them, or all but those that are refused for another reason.
 */
import type { Field } from '../core/schema.ts'
import type { Rejection } from '../core/sync.ts'
import type { Row, Value } from '../core/value.ts'
import type { PutResult } from './connector.ts'
import { nothingPut } from './put-result.ts'

export interface Parking {
  /** Moves a row's unique values out of the way; does nothing where the row is not in the target. */
  park(row: Row): Promise<Rejection | null>
  put(row: Row): Promise<PutResult>
  /** A savepoint, and what becomes of the work after it. */
  begin(): Promise<void>
  keep(): Promise<void>
  undo(): Promise<void>
}

/** Sets of rows that are tried, each without those that were refused in the one before. */
const MOST_TRIES = 10

export async function putParked(rows: readonly Row[], parking: Parking): Promise<PutResult> {
  const rejected: Rejection[] = []
  let members = rows
  for (let attempt = 1; members.length > 0; attempt++) {
    await parking.begin()
    const { counts, refused } = await tryAll(members, parking)
    if (refused.size === 0) {
      await parking.keep()
      return { ...counts, rejected }
    }
    await parking.undo()
    if (attempt === MOST_TRIES) return { ...nothingPut, rejected: [...rejected, ...refused.values()] }
    rejected.push(...refused.values())
    members = members.filter((row) => !refused.has(row))
  }
  return { ...nothingPut, rejected }
}

/** A value for a column of a row that waits; undefined: there is none. `random` is in [0, 1). */
export function parkedValue(field: Field, random: number): Value | undefined {
  if (field.nullable) return null
  // What is empty overlaps nothing.
  if (/range$/.test(field.native)) return field.native.endsWith('multirange') ? '{}' : 'empty'
  const number = Math.floor(random * 2 ** 50)
  if (field.type === 'text') return `_syncline_${number}`
  // An integer column may be narrow.
  if (field.type === 'integer')
    return -1 - Math.floor(random * (/smallint|int2/i.test(field.native) ? 2 ** 15 : 2 ** 31))
  const digits = number.toString(16).padStart(12, '0')
  return field.type === 'uuid' ? `00000000-0000-4000-8000-${digits.slice(-12)}` : undefined
}

async function tryAll(
  rows: readonly Row[],
  { park, put }: Parking,
): Promise<{ readonly counts: PutResult; readonly refused: ReadonlyMap<Row, Rejection> }> {
  const refused = new Map<Row, Rejection>()
  for (const row of rows) {
    const refusal = await park(row)
    if (refusal !== null) refused.set(row, refusal)
  }
  if (refused.size > 0) return { counts: nothingPut, refused }
  let counts = nothingPut
  for (const row of rows) {
    const { inserted, updated, unchanged, rejected } = await put(row)
    const [refusal] = rejected
    if (refusal !== undefined) refused.set(row, refusal)
    counts = {
      inserted: counts.inserted + inserted,
      updated: counts.updated + updated,
      unchanged: counts.unchanged + unchanged,
      rejected: [],
    }
  }
  return { counts, refused }
}
