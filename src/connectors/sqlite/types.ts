/** SQLite's declared types and storage classes, and Syncline's types. */
import { convert } from '../../core/convert.ts'
import { SyncError } from '../../core/error.ts'
import type { Field } from '../../core/schema.ts'
import type { Type, Value } from '../../core/value.ts'

/** What a column declared like this holds. Well-known names first, then SQLite's affinity rules. */
export function typeOf(declared: string): Type {
  const name = declared.toUpperCase()
  if (/^BOOL/.test(name)) return 'boolean'
  if (/^JSON/.test(name)) return 'json'
  if (/^(UUID|GUID)/.test(name)) return 'uuid'
  if (timeName.test(name) || textName.test(name)) return 'text'
  if (name.includes('INT')) return 'integer'
  if (/CHAR|CLOB|TEXT/.test(name)) return 'text'
  if (name.includes('BLOB')) return 'bytes'
  if (/REAL|FLOA|DOUB/.test(name)) return 'float'
  return name === '' || name === 'ANY' ? 'text' : 'decimal'
}

const timeName = /^(DATE|TIME)/i
/** Names that other systems give to texts; SQLite takes them for numbers, and keeps what looks like one as a number. */
const textName = /^(STRING|ENUM|SET|INET|CIDR|MACADDR|XML|CITEXT|NAME|INTERVAL)\b/i

/** The types that a stored value of any class is read as, where the config says so. From others' texts the mapping converts. */
const readable: readonly Type[] = ['text', 'bytes', 'boolean', 'integer', 'float', 'decimal']

/** A column as the config says, whatever the file declares: its values are read by that type. */
export function asDeclared(field: Field, type: Type | undefined): Field {
  if (type === undefined) return field
  const read = readable.includes(type) ? type : 'text'
  if (read === field.type && (type !== read || isCertain(field))) return field
  return { ...field, type: read, systemType: field.type }
}

/** Whether a column that is read as it declares gives all that may be read so: texts are in others too, and yes and t stand for true. */
function isCertain({ type, native }: Field): boolean {
  return type === 'text' ? /CHAR|CLOB|TEXT/i.test(native) : type !== 'bytes' && type !== 'boolean'
}

/** Whether a column that is text by its name may hold numbers, as SQLite takes it for one of these. */
export function keepsDigits({ native }: Field): boolean {
  return ['', 'ANY'].includes(native.toUpperCase()) || textName.test(native)
}

/** Whether a column keeps every value in the class that it was written in: 1 and '1' are two. */
export function keepsClass({ native }: Field): boolean {
  return /^(ANY)?$/i.test(native) || (/BLOB/i.test(native) && !/INT|CHAR|CLOB|TEXT/i.test(native))
}

/** The storage of a type in a STRICT table that Syncline makes. */
export function storageOf(type: Type): 'INTEGER' | 'REAL' | 'TEXT' | 'BLOB' {
  switch (type) {
    case 'boolean':
    case 'integer':
      return 'INTEGER'
    case 'float':
      return 'REAL'
    case 'bytes':
      return 'BLOB'
    default:
      return 'TEXT'
  }
}

/** What node:sqlite can bind. */
export type Bindable = null | number | bigint | string | Uint8Array

const MIN_INT64 = -(2n ** 63n)
const MAX_INT64 = 2n ** 63n - 1n

/**
 * A value as node:sqlite must get it. Throws VALUE_REFUSED where SQLite would bend it: integers beyond 64 bits, lone
 * surrogates (bound as U+FFFD), and NUL in text on a Node that truncates there. NaN becomes NULL and −0 becomes 0:
 * the sink declares that loss.
 */
export function toStorage(field: Field, value: Value, keepsNul: boolean): Bindable {
  switch (typeof value) {
    case 'boolean':
      return value ? 1 : 0
    case 'bigint':
      if (value < MIN_INT64 || value > MAX_INT64) throw refused(field, 'an integer beyond 64 bits')
      return value
    case 'string':
      if (!value.isWellFormed()) throw refused(field, 'text with a lone surrogate')
      if (!keepsNul && value.includes('\0')) throw refused(field, 'text with a NUL character')
      return value
    case 'number':
      return Number.isNaN(value) ? null : value
    default:
      return value
  }
}

/** A stored value as its field's type; throws VALUE_REFUSED for a value of the wrong storage class. */
export function fromStorage(field: Field, stored: Bindable): Value {
  if (stored === null) return null
  if (field.systemType !== undefined) return fromAnyStorage(field, stored)
  switch (field.type) {
    case 'boolean':
      if (stored === 0 || stored === 0n) return false
      if (stored === 1 || stored === 1n) return true
      break
    case 'integer':
      if (typeof stored === 'bigint') return BigInt.asIntN(53, stored) === stored ? Number(stored) : stored
      if (typeof stored === 'number' && Number.isInteger(stored)) return stored
      break
    case 'float':
      if (typeof stored === 'number') return stored
      if (typeof stored === 'bigint') return Number(stored)
      break
    case 'decimal':
      if (typeof stored === 'string' && decimalText.test(stored)) return stored
      if (typeof stored === 'number' || typeof stored === 'bigint') return String(stored)
      break
    case 'bytes':
      if (typeof stored === 'object') return stored
      break
    case 'json':
      // A column declared JSON has numeric affinity: SQLite stores the text 1.50 as a number.
      if (typeof stored === 'string' || Number.isFinite(stored)) return String(stored)
      break
    default:
      if (typeof stored === 'string') return stored
      if (textName.test(field.native) && typeof stored !== 'object') return spelled(stored)
  }
  throw refused(field, `a stored ${className(stored)}`)
}

/** A stored value of any class as the type that the config says; throws VALUE_REFUSED where it is none. */
function fromAnyStorage(field: Field, stored: Exclude<Bindable, null>): Value {
  if (field.type === 'bytes') {
    if (typeof stored === 'object') return stored
    throw refused(field, `a stored ${className(stored)}`)
  }
  const text = typeof stored === 'object' ? utf8(field, stored) : spelled(stored)
  try {
    return convert(text, 'text', field.type)
  } catch {
    throw refused(field, `a stored ${className(stored)}`)
  }
}

/** A number keeps its class: 3.0 is not 3. */
export function spelled(stored: string | number | bigint): string {
  const text = String(stored)
  return typeof stored === 'number' && /^-?\d+$/.test(text) ? `${text}.0` : text
}

function utf8(field: Field, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw refused(field, 'a stored blob that is no text')
  }
}

/** NaN and −0 are what SQLite can't hold of a float. */
function floatLoss(value: Value): Value {
  return Number.isNaN(value) ? null : value === 0 ? 0 : value
}

/** What becomes of a value of this field: what floats lose; null where nothing is lost. */
export function declaredLoss({ type }: { readonly type: string }): ((value: Value) => Value) | null {
  return type === 'float' ? floatLoss : null
}

const decimalText = /^([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|NaN|-?Infinity)$/

/** Text whose bytes are none in the encoding of its file: decoding would put U+FFFD in their place. */
export function undecodable(field: Field): SyncError {
  return new SyncError('VALUE_REFUSED', `column ${field.name} holds text that is not valid in the file's encoding`, {
    hint: "Mend the row, or declare the field as bytes: { from: '…', type: 'bytes' } copies it as it is.",
  })
}

function refused(field: Field, what: string): SyncError {
  return new SyncError('VALUE_REFUSED', `column ${field.name} (${field.type}) can't hold ${what}`, {
    hint: 'Declare another type for the field in the config, or mend the row.',
  })
}

function className(stored: Exclude<Bindable, null>): string {
  return typeof stored === 'string'
    ? 'text'
    : typeof stored === 'object'
      ? 'blob'
      : Number.isInteger(Number(stored))
        ? 'integer'
        : 'real'
}
