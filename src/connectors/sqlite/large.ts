/**
 * Rows that are too large to be read. They are met on the way: then what was asked for is asked again carefully, with NULL in the place of
 * values that are too large, and a flag behind each row. Reading other rows costs nothing for that.
 */
import { constants } from 'node:buffer'
import type { Field } from '../../core/schema.ts'
import type { Value } from '../../core/value.ts'
import { joined, quote } from '../sql.ts'
import { limits } from './limits.ts'
import type { Bindable } from './types.ts'

/** Some row of what was asked for is too large. */
export class RowTooLarge extends Error {}

/** Runs `read`; carefully, if a row is too large. Where less is allowed than SQLite holds, nothing larger may be read even once. */
export function carefully<T>({ maxRowBytes }: { readonly maxRowBytes: number }, read: (careful: boolean) => T): T {
  if (maxRowBytes < limits.rowBytes) return read(true)
  try {
    return read(false)
  } catch (error) {
    if (!(error instanceof RowTooLarge)) throw error
    return read(true)
  }
}

/** What `make` gives for reading and for careful reading, each made once. */
export function readersOf<T>(make: (careful: boolean) => T): (careful: boolean) => T {
  const made = new Map<boolean, T>()
  return (careful) => {
    const reader = made.get(careful) ?? make(careful)
    made.set(careful, reader)
    return reader
  }
}

/** What a statement gives. Where a text is longer than the runtime can hold, node:sqlite gives nothing at all, or throws. */
export function readable<T>(read: () => T): T {
  try {
    const result: T | undefined = read()
    if (result === undefined) throw new RowTooLarge()
    return result
  } catch (error) {
    throw error instanceof Error && 'code' in error && error.code === 'ERR_STRING_TOO_LONG' ? new RowTooLarge() : error
  }
}

/** Whether a value is too large by itself. */
export function tooLargeSql({ maxRowBytes }: { readonly maxRowBytes: number }, { name }: Pick<Field, 'name'>): string {
  const column = quote(name)
  const most = Math.min(maxRowBytes, constants.MAX_STRING_LENGTH)
  return `(typeof(${column}) = 'text' AND octet_length(${column}) > ${most} OR typeof(${column}) = 'blob' AND octet_length(${column}) > ${maxRowBytes})`
}

export function rowTooLargeSql(relation: { readonly maxRowBytes: number }, fields: readonly Field[]): string {
  const sizes = fields.map(
    ({ name }) => `CASE WHEN typeof(${quote(name)}) IN ('text', 'blob') THEN octet_length(${quote(name)}) ELSE 0 END`,
  )
  const any = fields.map((field) => tooLargeSql(relation, field))
  if (fields.length === 0) return '0'
  return `(${joined(sizes, '+')} > ${relation.maxRowBytes} OR ${joined(any, 'OR')})`
}

/** Bytes of a row's texts and blobs. */
export function bytesOf(row: readonly Value[]): number {
  let bytes = 0
  for (const value of row) {
    if (typeof value === 'string') bytes += Buffer.byteLength(value)
    else if (value instanceof Uint8Array) bytes += value.length
  }
  return bytes
}

/** A part of a key beyond this is none that the row could be told by. */
const KEY_CHARACTERS = 64 * 1024

/** Whether a row that is too large can be told by this part of its key. */
export function isShort(stored: Bindable): boolean {
  if (typeof stored === 'string') return stored.length <= KEY_CHARACTERS && !stored.includes('\ufffd')
  return !(stored instanceof Uint8Array) || stored.length <= KEY_CHARACTERS
}
