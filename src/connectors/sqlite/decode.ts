/** Stored rows of a SQLite file as rows of values. What is none of its field's type, or no text in the file's encoding, rejects its row. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { SyncError } from '../../core/error.ts'
import { type Field, fieldNamed } from '../../core/schema.ts'
import type { Rejection } from '../../core/sync.ts'
import { canonical, type Key, type Row, type Value } from '../../core/value.ts'
import type { Chunk } from '../connector.ts'
import { quote } from '../sql.ts'
import { prepareArrays } from './database.ts'
import { bytesOf, isShort, RowTooLarge } from './large.ts'
import { type Bindable, fromStorage, undecodable } from './types.ts'

/** Which rows a view shows: an SQL FROM clause and condition, and the fields that can be asked for. */
export interface Relation {
  readonly file: string
  readonly from: string
  readonly where: string | null
  readonly fields: readonly Field[]
  readonly key: readonly Field[]
  /** `sqlite` where values of any storage class may stand in a column; else a STRICT table of ours. */
  readonly system: string
  /** Whether the key is the table's rowid, so that rowid order is key order. */
  readonly rowidKey: boolean
  /** Whether rows can be asked for by their rowid. */
  readonly rowids: boolean
  /** A row that is larger is rejected. */
  readonly maxRowBytes: number
  /** Columns that the next run converts to what their fields have become: they are read as they will be. */
  readonly widening?: ReadonlySet<string>
}

/** Decodes a stored row in place and adds it to a chunk; a value of the wrong storage class, or text that is none, rejects the row. */
export function rowDecoder(
  database: DatabaseSync,
  relation: Relation,
  names: readonly string[],
  careful: boolean,
): (stored: Bindable[], chunk: GrowingChunk) => void {
  const fields = names.map((name) => fieldNamed(relation, name))
  const keyAt = relation.key.map((field) => names.indexOf(field.name))
  // Strings need no decoding in a text column, and most columns are that.
  const plainText = fields.map(isText)
  const checked = relation.system === 'sqlite'
  const exact = checked ? exactness(database, relation, names) : () => true
  const keyOf = keyReader(relation, names)
  const reject = (row: Bindable[], chunk: GrowingChunk, message: string) =>
    chunk.rejects.push({ key: keyOf(row), code: 'VALUE_REFUSED', message })
  return (stored, chunk) => {
    const row: Value[] = stored
    if (careful && stored.pop() === 1) {
      const key = keyOf(stored).map((part, k) => (isShort(stored[keyAt[k] ?? -1] ?? null) ? part : null))
      chunk.rejects.push({ key, code: 'VALUE_REFUSED', message: 'the row is too large to be read' })
      return
    }
    let bytes = 8 * fields.length
    for (let i = 0; i < fields.length; i++) {
      const value = stored[i] as Bindable
      if (value === null) continue
      if (typeof value === 'string') {
        bytes += value.length
        if (plainText[i] === true) {
          if (!checked || exact(stored, i)) continue
          // A key of which a part can't be told is none.
          const key = keyOf(stored).map((part, k) => {
            const at = keyAt[k] ?? -1
            return at === i || !exact(stored, at) ? null : part
          })
          chunk.rejects.push({ key, code: 'VALUE_REFUSED', message: undecodable(fields[i] as Field).message })
          return
        }
      }
      const field = fields[i] as Field
      if (field.type === 'integer' && Number.isInteger(value)) continue
      try {
        if (typeof value === 'object') bytes += value.length
        row[i] = decoded(field, value)
      } catch (error) {
        if (!(error instanceof SyncError)) throw error
        reject(stored, chunk, error.message)
        return
      }
    }
    stored.length = fields.length
    if (!careful && 3 * bytes > relation.maxRowBytes && bytesOf(row) > relation.maxRowBytes) throw new RowTooLarge()
    chunk.bytes += bytes
    if (keyAt.some((at) => row[at] === null)) reject(stored, chunk, 'a key field is NULL')
    else chunk.rows.push(row)
  }
}

function decoded(field: Field, stored: Bindable): Value {
  return field.type === 'integer' && field.systemType === undefined && typeof stored === 'string'
    ? bigintOf(field, stored)
    : fromStorage(field, stored)
}

/** Reads the key of a row that is decoded or not: in its one spelling, and as it stands where it is no value of its field. */
export function keyReader({ key }: Pick<Relation, 'key'>, names: readonly string[]): (row: readonly Value[]) => Key {
  const at = key.map(({ name }) => names.indexOf(name))
  return (row) => key.map((field, i) => keyPart(field, row[at[i] ?? -1] ?? null))
}

export function keyPart(field: Field, stored: Value): Value {
  if (stored === null || typeof stored === 'boolean') return stored
  try {
    return canonical(field.type, decoded(field, stored))
  } catch (error) {
    if (!(error instanceof SyncError)) throw error
    return stored
  }
}

/** What decoding puts in the place of bytes that are no text; a text may hold it, too. */
const REPLACED = /\uFFFD/
/** Of a file in UTF-16 SQLite makes one character of a lone surrogate and whatever follows it. */
const PAIRED = /[\uD800-\uDFFF\uFFFD]/

/** Whether the text of a stored row at a place of `names` is what its bytes say. */
function exactness(
  database: DatabaseSync,
  relation: Relation,
  names: readonly string[],
): (stored: readonly Bindable[], at: number) => boolean {
  const textAt = names.flatMap((name, at) => (isText(fieldNamed(relation, name)) ? [at] : []))
  const prepare = preparing(database)
  const bytesOf = (stored: readonly Bindable[], at: number): unknown => {
    if (!relation.rowids) return stored[names.length + textAt.indexOf(at)]
    const sql = `SELECT CAST(${quote(names[at] ?? '')} AS BLOB) FROM ${relation.from} WHERE rowid = ?`
    return asStored(prepare(sql).get(rowidOf(stored[rowidAt(relation, names)])))[0]
  }
  const encoding = String(database.prepare('PRAGMA encoding').get()?.encoding)
  const suspect = encoding === 'UTF-8' ? REPLACED : PAIRED
  const decoder = new TextDecoder(encoding, { fatal: true, ignoreBOM: true })
  return (stored, at) => {
    const text = stored[at]
    if (typeof text !== 'string' || !suspect.test(text)) return true
    const bytes = bytesOf(stored, at)
    try {
      return bytes instanceof Uint8Array && decoder.decode(bytes) === text
    } catch {
      return false
    }
  }
}

/** A chunk that rows are added to. */
export interface GrowingChunk extends Chunk {
  readonly rows: Row[]
  readonly rejects: Rejection[]
  bytes: number
}

export function emptyChunk(): GrowingChunk {
  return { rows: [], rejects: [], bytes: 0 }
}

/** Where a stored row has its rowid: among its columns where that is the key, else behind them. */
export function rowidAt({ rowidKey, key }: Relation, names: readonly string[]): number {
  const at = rowidKey ? names.indexOf(key[0]?.name ?? '') : -1
  return at < 0 ? names.length : at
}

export function isText({ type }: Field): boolean {
  return !['boolean', 'integer', 'float', 'decimal', 'bytes'].includes(type)
}

/** Prepares each statement once. */
export function preparing(database: DatabaseSync, bigints = false): (sql: string) => StatementSync {
  const statements = new Map<string, StatementSync>()
  return (sql) => {
    const statement = statements.get(sql) ?? prepareArrays(database, sql, bigints)
    statements.set(sql, statement)
    return statement
  }
}

export function rowidOf(stored: Bindable | undefined): number | bigint {
  return typeof stored === 'number' ? stored : BigInt(String(stored))
}

/** node:sqlite types rows as objects, also where setReturnArrays makes them arrays. */
export function asStored(row: unknown): Bindable[] {
  return row as Bindable[]
}

export function bigintOf(field: Field, digits: string): Value {
  if (/^-?\d+$/.test(digits)) return Number.isSafeInteger(Number(digits)) ? Number(digits) : BigInt(digits)
  return fromStorage(field, digits)
}
