/** Rows of the tables of two-way syncs, to and from what the contract calls them. */
import type { SQLInputValue, SQLOutputValue } from 'node:sqlite'
import type { SideName } from '../../core/two-way.ts'
import type { StoredPair, Unpaired, UnpairedState } from '../pairs.ts'

export function valuesOf(pair: Omit<StoredPair, 'id'>): SQLInputValue[] {
  return [pair.left, pair.right, pair.leftBase, pair.rightBase, pair.layout, pair.recent].map((value, at) =>
    at === 2 || at === 3 ? toStored(value) : value,
  )
}

export function toStored(base: SQLInputValue): SQLInputValue {
  return typeof base === 'string' && isHash(base) ? Buffer.from(base.slice(1), 'latin1') : base
}

/** Hashes are told from values by a first character that no JSON has. */
function isHash(base: string): boolean {
  return base.startsWith('#')
}

export function toPair(row: Record<string, SQLOutputValue>): StoredPair {
  return {
    id: Number(row.id),
    left: String(row.left_key),
    right: String(row.right_key),
    leftBase: toBase(row.left_base) ?? '',
    rightBase: toBase(row.right_base),
    layout: Number(row.layout),
    recent: textOrNull(row.recent),
  }
}

function toBase(stored: SQLOutputValue | undefined): string | null {
  if (stored instanceof Uint8Array) return `#${Buffer.from(stored).toString('latin1')}`
  return textOrNull(stored)
}

export function toUnpaired(row: Record<string, SQLOutputValue>): Unpaired {
  return {
    side: String(row.side) as SideName,
    key: String(row.key),
    match: textOrNull(row.match),
    state: String(row.state) as UnpairedState,
    code: textOrNull(row.code),
    message: textOrNull(row.message),
  }
}

export function textOrNull(value: SQLOutputValue | undefined): string | null {
  return value === null || value === undefined ? null : String(value)
}

export function numberOrNull(value: SQLOutputValue | undefined): number | null {
  return value === null || value === undefined ? null : Number(value)
}
