/** Postgres' types and Syncline's, and the spelling of values in COPY's text format. */
import { SyncError } from '../../core/error.ts'
import type { Field } from '../../core/schema.ts'
import type { Type, Value } from '../../core/value.ts'
import { tooLong } from '../limits.ts'

/** What a column of this native type (as format_type spells it, domains resolved) holds. Everything else is text in Postgres' own spelling. */
export function typeOf(native: string): Type {
  const name = native.replace(/\s*\([^)]*\)/, '')
  switch (name) {
    case 'boolean':
      return 'boolean'
    case 'smallint':
    case 'integer':
    case 'bigint':
    case 'oid':
      return 'integer'
    case 'real':
    case 'double precision':
      return 'float'
    case 'numeric':
      return 'decimal'
    case 'bytea':
      return 'bytes'
    case 'uuid':
      return 'uuid'
    case 'date':
      return 'date'
    case 'time without time zone':
      return 'time'
    case 'timestamp without time zone':
      return 'timestamp'
    case 'timestamp with time zone':
      return 'instant'
    case 'json':
    case 'jsonb':
      return 'json'
    default:
      return 'text'
  }
}

/** Whether values of the field's native type that are equal are spelled equally. */
export function tellsApart({ type, native }: Field): boolean {
  const exact = ['boolean', 'integer', 'uuid', 'date', 'time', 'timestamp', 'instant', 'bytes']
  return exact.includes(type) || ['text', 'character varying'].includes(native)
}

/** The type a target column gets: the source's own where it is a Postgres type, else the fitting one. */
export function nativeOf(field: Field, system: string): string {
  return system === 'postgres' && field.native !== '' ? field.native : fitting[field.type]
}

const fitting: Record<Type, string> = {
  boolean: 'boolean',
  integer: 'bigint',
  float: 'double precision',
  decimal: 'numeric',
  text: 'text',
  bytes: 'bytea',
  uuid: 'uuid',
  date: 'date',
  time: 'time without time zone',
  timestamp: 'timestamp without time zone',
  instant: 'timestamp with time zone',
  json: 'jsonb',
}

/** A value from its text in a COPY row (unescaped). Snapshot and stream both come through here. */
export function fromText(type: Type, text: string): Value {
  switch (type) {
    case 'boolean':
      return text === 't'
    case 'integer': {
      if (text.length < 16) return +text
      const exact = BigInt(text)
      return BigInt.asIntN(54, exact) === exact && Number.isSafeInteger(Number(exact)) ? Number(exact) : exact
    }
    case 'float':
      return +text
    case 'bytes':
      if (!text.startsWith('\\x'))
        throw new SyncError('VALUE_REFUSED', 'Postgres spelled bytes otherwise than asked (bytea_output = hex)', {
          hint: 'Something between Syncline and the server changes settings within a transaction: connect without it.',
        })
      return new Uint8Array(Buffer.from(text.slice(2), 'hex'))
    case 'time':
      return microseconds(text)
    case 'timestamp':
      return timestamp(text, '')
    case 'instant':
      return timestamp(text, 'Z')
    default:
      return text
  }
}

/** `2025-01-31 13:05:09.25+00` → `2025-01-31T13:05:09.250000Z`; infinity, years beyond 9999 and BC keep their spelling. */
function timestamp(text: string, zone: '' | 'Z'): string {
  const end = zone === 'Z' ? text.length - 3 : text.length
  // Nearly all: four-digit year, after Christ.
  if (text.charCodeAt(10) === 32 && text.charCodeAt(text.length - 1) !== 67) {
    const length = end - 11
    if (length === 15) return `${text.slice(0, 10)}T${text.slice(11, end)}${zone}`
    if (length === 8) return `${text.slice(0, 10)}T${text.slice(11, end)}.000000${zone}`
    return `${text.slice(0, 10)}T${microseconds(text.slice(11, end))}${zone}`
  }
  if (text.endsWith('infinity')) return text
  const match = /^(\d+-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(?:\+00)?( BC)?$/.exec(text)
  return match === null ? text : `${match[1]}T${microseconds(match[2] as string)}${zone}${match[3] ?? ''}`
}

function microseconds(time: string): string {
  return time.length === 8 ? `${time}.000000` : time.padEnd(15, '0')
}

/** A value as Postgres reads it in; NULL is the caller's. */
export function toText(field: Field, value: Exclude<Value, null>): string {
  switch (typeof value) {
    case 'string':
      if (value.includes('\0')) {
        throw new SyncError('VALUE_REFUSED', `column ${field.name}: Postgres can't hold a NUL character in text`, {
          hint: 'Mend the row at the source, or leave the field out.',
        })
      }
      if (!value.isWellFormed())
        throw new SyncError(
          'VALUE_REFUSED',
          `column ${field.name}: the text holds a lone surrogate, which is not valid Unicode`,
        )
      return value
    case 'boolean':
      return value ? 't' : 'f'
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value)
    case 'bigint':
      return String(value)
    default:
      return `\\x${hexOf(value)}`
  }
}

function hexOf(bytes: Uint8Array): string {
  try {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
  } catch (error) {
    throw tooLong(error)
  }
}
