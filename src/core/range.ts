/** Cutting the keys of a collection into ranges, so that a sweep looks only where counts differ. */
import type { Type, Value } from './value.ts'

/** Rows per range a sweep aims at, and the most ranges it makes. */
const ROWS_PER_RANGE = 128
const MAX_RANGES = 8192

/** Ascending bounds, evenly apart, that cut the values between `low` and `high`; none where the type can't be cut by arithmetic. */
export function cutRanges(type: Type, low: Value, high: Value, rows: number): Value[] {
  if (type !== 'integer' || low === null || high === null) return []
  const ranges = BigInt(Math.min(MAX_RANGES, Math.max(1, Math.ceil(rows / ROWS_PER_RANGE))))
  const end = BigInt(high as number | bigint) + 1n
  const from = BigInt(low as number | bigint)
  const width = (end - from + ranges - 1n) / ranges
  const bounds: Value[] = []
  for (let bound = from + width; bound < end; bound += width)
    bounds.push(Number.isSafeInteger(Number(bound)) ? Number(bound) : bound)
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
