/** Which of two rows was changed last: their stamps as instants, with the grain of their clocks. Never a guess: what is not certain is null. */
import { SyncError } from './error.ts'
import { type Field, fieldNamed, type Schema } from './schema.ts'
import { normalizeTime } from './time.ts'
import { type SideName, type StampField, type StampForm, stampForms, type TwoWaySync } from './two-way.ts'
import type { Type, Value } from './value.ts'

/** The side whose row was changed last; null: nobody can tell. */
export type Newer = (left: Value, right: Value) => SideName | null

/** What a stamp's values are. Two of one kind can be compared. */
type Kind = 'instant' | 'wall' | 'number'

interface Reading {
  readonly kind: Kind
  /** Null: the value is no point in time. */
  read(value: Value): Point | null
}

/** In microseconds since 1970; of numbers and versions: as they are. */
interface Point {
  readonly at: number
  readonly grain: number
}

const SECOND = 1_000_000
const DAY = 86_400 * SECOND

/** The julian day of 1970-01-01, which begins at noon. */
const UNIX_JULIAN_DAY = 2_440_587.5

export function bindStamp(sync: TwoWaySync, left: Schema, right: Schema): Newer | null {
  if (sync.stamp === null) return null
  const readings = {
    left: readingOf(sync, 'left', sync.stamp.left, left),
    right: readingOf(sync, 'right', sync.stamp.right, right),
  }
  if (readings.left.kind !== readings.right.kind) throw unlike(sync, readings)
  return (a, b) => newer(readings.left.read(a), readings.right.read(b))
}

/** A clock may cut or round what it shows: only stamps that are further apart than the coarser one's grain tell an order. */
function newer(left: Point | null, right: Point | null): SideName | null {
  if (left === null || right === null || left.at === right.at) return null
  if (Math.abs(left.at - right.at) < Math.max(left.grain, right.grain)) return null
  return left.at > right.at ? 'left' : 'right'
}

function readingOf(sync: TwoWaySync, side: SideName, { field: name, as }: StampField, schema: Schema): Reading {
  const field = fieldNamed(schema, name)
  const fits = as === null || (as === 'utc' ? ['timestamp', 'date', 'text'] : [...numbers, 'text']).includes(field.type)
  const reading = fits ? (as === null ? byType(field) : byForm(field, as)) : null
  if (reading !== null) return reading
  throw invalid(
    sync,
    `stamp.${side}: ${name} is ${field.type}${as === null ? '' : `, which is not read as ${as}`}`,
    'A stamp is an instant, a time, a text with an ISO 8601 time, or a number: seconds, milliseconds, microseconds, julian-days, or a version.',
  )
}

const numbers: readonly Type[] = ['integer', 'float', 'decimal']

function byType(field: Field): Reading | null {
  switch (field.type) {
    case 'instant':
    case 'text':
      return { kind: 'instant', read: (value) => timeOf(value, field) }
    case 'timestamp':
    case 'date':
      return { kind: 'wall', read: (value) => timeOf(value, field) }
    default:
      return numbers.includes(field.type) ? byForm(field, 'version') : null
  }
}

function byForm(field: Field, as: StampForm): Reading {
  if (as === 'utc') return { kind: 'instant', read: (value) => timeOf(value, field) }
  if (as === 'version') return { kind: 'number', read: (value) => numberOf(value, (at) => ({ at, grain: 0 })) }
  const unit = units[as]
  // Other numbers than integers hold a part of a second, which SQLite's functions know to the millisecond.
  const grain = field.type === 'integer' ? unit : Math.min(unit, SECOND / 1000)
  const since = as === 'julian-days' ? UNIX_JULIAN_DAY : 0
  return { kind: 'instant', read: (value) => numberOf(value, (at) => ({ at: Math.round((at - since) * unit), grain })) }
}

const units = { seconds: SECOND, milliseconds: 1000, microseconds: 1, 'julian-days': DAY } as const

function numberOf(value: Value, make: (number: number) => Point): Point | null {
  if (value === null || value === '' || typeof value === 'boolean') return null
  const number = Number(value)
  return Number.isFinite(number) ? make(number) : null
}

/** A time without a zone is one in UTC: as SQLite's own functions write it, or because the config says so. */
function timeOf(value: Value, { type, native }: Field): Point | null {
  if (typeof value !== 'string') return null
  const text = normalizeTime('instant', value)
  if (text === null) return null
  if (text.endsWith('infinity')) return { at: text.startsWith('-') ? -Infinity : Infinity, grain: 0 }
  const ms = Date.parse(`${text.slice(0, 23)}Z`)
  if (text.length !== 27 || Number.isNaN(ms)) return null
  return {
    at: ms * 1000 + Number(text.slice(23, 26)),
    grain: type === 'text' ? grainOf(value) : grainOfType(type, native),
  }
}

/** A text shows what it knows. */
function grainOf(text: string): number {
  const [, minutes, seconds, fraction] = /\d[T ](\d\d:\d\d)(:\d\d)?(?:\.(\d+))?/i.exec(text) ?? []
  if (minutes === undefined) return DAY
  if (seconds === undefined) return 60 * SECOND
  return Math.max(1, SECOND / 10 ** (fraction?.length ?? 0))
}

/** As the system declares it: `timestamp(0)`. */
function grainOfType(type: Type, native: string): number {
  if (type === 'date') return DAY
  const digits = /\((\d)\)/.exec(native)?.[1]
  return digits === undefined ? 1 : Math.max(1, SECOND / 10 ** Number(digits))
}

function unlike(sync: TwoWaySync, { left, right }: Readonly<Record<SideName, Reading>>): SyncError {
  const wall = left.kind === 'wall' ? 'left' : right.kind === 'wall' ? 'right' : null
  const number = left.kind === 'number' ? 'left' : 'right'
  const [side, what, as] = wall === null ? [number, 'a number', 'seconds'] : [wall, 'a time without a zone', 'utc']
  const field = sync.stamp?.[side === 'left' ? 'left' : 'right'].field
  return invalid(
    sync,
    `stamp.${side}: ${field} is ${what}, and the other side's stamp is not`,
    `Say how it is read, if that is so: stamp: { ${side}: { field: '${field}', as: '${as}' } }. There are ${stampForms.join(', ')}.`,
  )
}

function invalid(sync: TwoWaySync, message: string, hint: string): SyncError {
  return new SyncError('CONFIG_INVALID', `syncs.${sync.id}.${message}`, { hint })
}
