/** Cutting the keys of a collection into ranges, so that a sweep looks only where counts differ. */
import { compareValues, type Type, type Value } from './value.ts'

/** Rows per range a sweep aims at, and the most ranges it makes. */
const ROWS_PER_RANGE = 128
const MAX_RANGES = 8192

/** Ascending bounds that cut the values between `low` and `high` evenly; none where the type can't be cut by arithmetic. */
export function cutRanges(type: Type, low: Value, high: Value, rows: number): Value[] {
  const ranges = BigInt(Math.min(MAX_RANGES, Math.max(1, Math.ceil(rows / ROWS_PER_RANGE))))
  if (type !== 'integer' || low === null || high === null) return []
  const from = BigInt(low as number | bigint)
  const span = BigInt(high as number | bigint) - from + 1n
  const bounds: Value[] = []
  for (let i = 1n; i < ranges; i++) {
    const bound = from + (span * i) / ranges
    const value = Number.isSafeInteger(Number(bound)) ? Number(bound) : bound
    if (bounds.length === 0 || compareValues(type, bounds.at(-1) as Value, value) < 0) bounds.push(value)
  }
  return bounds
}

/** Ranges whose counts differ, neighbours joined. */
export function differingRanges(
  bounds: readonly Value[],
  left: readonly number[],
  right: readonly number[],
): { from: Value; to: Value }[] {
  const ranges: { from: Value; to: Value }[] = []
  let joins = false
  for (let i = 0; i <= bounds.length; i++) {
    if (left[i] === right[i]) {
      joins = false
      continue
    }
    const to = bounds[i] ?? null
    const last = ranges.at(-1)
    if (joins && last !== undefined) last.to = to
    else ranges.push({ from: bounds[i - 1] ?? null, to })
    joins = true
  }
  return ranges
}
