/** Comparing two streams of rows in key order, in one pass: what plan, verify, full runs and sweeps are made of. */
import { compareKeys, equal, type Key, type Row, type Type } from './value.ts'

/** What a stretch of the two streams differs in. */
export interface Differences {
  /** Only on the left. */
  readonly missing: Row[]
  /** Only on the right. */
  readonly extra: Row[]
  readonly different: { readonly left: Row; readonly right: Row }[]
  /** Keys on both sides with equal rows. */
  same: number
}

export interface Comparison {
  readonly keyAt: readonly number[]
  readonly keyTypes: readonly Type[]
  /** Whether two rows of one key differ. */
  readonly differs: (left: Row, right: Row) => boolean
}

/** Pairs of rows by key. Each side's rows must come in key order (`compareKeys`). Both sides are read ahead by one chunk. */
export async function* compareRows(
  left: AsyncIterable<readonly Row[]>,
  right: AsyncIterable<readonly Row[]>,
  comparison: Comparison,
): AsyncIterable<Differences> {
  const { keyAt, keyTypes, differs } = comparison
  const single = keyAt.length === 1 ? (keyAt[0] as number) : null
  const sides = [openSide(left), openSide(right)] as const
  const [a, b] = sides
  try {
    await Promise.all(sides.map((side) => side.advance()))
    while (a.rows !== null || b.rows !== null) {
      const found: Differences = { missing: [], extra: [], different: [], same: 0 }
      while (a.at < a.length && b.at < b.length) {
        const x = (a.rows as readonly Row[])[a.at] as Row
        const y = (b.rows as readonly Row[])[b.at] as Row
        const order =
          single !== null && x[single] === y[single] ? 0 : compareKeys(keyTypes, keyOf(x, keyAt), keyOf(y, keyAt))
        if (order < 0) found.missing.push(x)
        else if (order > 0) found.extra.push(y)
        else if (differs(x, y)) found.different.push({ left: x, right: y })
        else found.same++
        if (order <= 0) a.at++
        if (order >= 0) b.at++
      }
      if (b.rows === null && a.rows !== null) while (a.at < a.length) found.missing.push(a.rows[a.at++] as Row)
      if (a.rows === null && b.rows !== null) while (b.at < b.length) found.extra.push(b.rows[b.at++] as Row)
      yield found
      await Promise.all(
        sides.filter((side) => side.rows !== null && side.at >= side.length).map((side) => side.advance()),
      )
    }
  } finally {
    await Promise.all(sides.map((side) => side.close()))
  }
}

/** Whether two rows mean different things in any field. */
export function differsByMeaning(types: readonly Type[]): (left: Row, right: Row) => boolean {
  const width = types.length
  // Of equal values, only a float's zero can still differ, by its sign.
  const floats = types.flatMap((type, at) => (type === 'float' ? [at] : []))
  return (left, right) => {
    for (let i = 0; i < width; i++) {
      if (left[i] !== right[i] && !equal(types[i] as Type, left[i] ?? null, right[i] ?? null)) return true
    }
    return floats.some((at) => left[at] === 0 && !Object.is(left[at], right[at]))
  }
}

/** Whether two rows are spelled differently in any field outside the key: what a run hands to the target, which decides. */
export function differsBySpelling(
  types: readonly Type[],
  keyAt: readonly number[],
): (left: Row, right: Row) => boolean {
  const inKey = types.map((_type, at) => keyAt.includes(at))
  return (left, right) => {
    for (let i = 0; i < types.length; i++) {
      const a = left[i] ?? null
      const b = right[i] ?? null
      if (Object.is(a, b) || inKey[i] === true) continue
      if (types[i] === 'decimal' || !equal(types[i] as Type, a, b)) return true
    }
    return false
  }
}

interface Side {
  rows: readonly Row[] | null
  at: number
  length: number
  advance(): Promise<void>
  close(): Promise<void>
}

function openSide(stream: AsyncIterable<readonly Row[]>): Side {
  const iterator = stream[Symbol.asyncIterator]()
  const side: Side = {
    rows: [],
    at: 0,
    length: 0,
    advance: async () => {
      for (;;) {
        const next = await iterator.next()
        side.rows = next.done === true ? null : next.value
        side.at = 0
        side.length = side.rows?.length ?? 0
        if (side.rows === null || side.length > 0) return
      }
    },
    close: async () => {
      await iterator.return?.()
    },
  }
  return side
}

function keyOf(row: Row, at: readonly number[]): Key {
  return at.map((index) => row[index] ?? null)
}
