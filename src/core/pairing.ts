/** The fields of a two-way sync, bound to both sides' schemas: what to read, and how a value crosses over. */
import { convert, fromFunction } from './convert.ts'
import { asSyncError, endsRun, SyncError } from './error.ts'
import { keyText } from './key-text.ts'
import { keyOf } from './mapping.ts'
import { nearestNames } from './name.ts'
import { type Field, fieldNamed, type Schema } from './schema.ts'
import { bindStamp, type Newer } from './stamp.ts'
import type { Direction, PairField, Rule, SideName, TwoWaySync } from './two-way.ts'
import { canonical, equal, type Key, type Row, type Type, type Value } from './value.ts'

/** One side's part of a pairing. Rows are read as: the paired fields in order, then key and stamp fields that are not among them. */
export interface PairSide {
  readonly name: SideName
  readonly schema: Schema
  readonly fields: readonly string[]
  readonly types: readonly Type[]
  readonly keyAt: readonly number[]
  readonly keyTypes: readonly Type[]
  /** Where the stamp stands in a row; null: there is none. */
  readonly stampAt: number | null
}

export interface BoundField {
  readonly name: string
  readonly left: Field
  readonly right: Field
  readonly direction: Direction
  readonly edits: 'revert' | 'ignore'
  readonly rule: Rule
  readonly references: string | null
  /** Whether two values mean the same to the match: then nobody has to be asked about their spelling. */
  matches(left: Value, right: Value): boolean
  /** The other side's form of a value; throws VALUE_REFUSED where there is none. */
  cross(from: SideName, value: Value): Value
}

export interface Pairing {
  readonly sync: TwoWaySync
  readonly left: PairSide
  readonly right: PairSide
  readonly fields: readonly BoundField[]
  /** Which of two rows was changed last, by their stamps; null: the sync has none. */
  readonly newer: Newer | null
  /** What pairs rows, as text equal on both sides; null: the row has no match value. */
  matchOf(side: SideName, row: Row): string | null
}

/** Binds a sync to both sides. CONFIG_INVALID says what does not fit. */
export function bindPairing(sync: TwoWaySync, left: Schema, right: Schema): Pairing {
  const wanted = sync.fields ?? commonFields(sync, left, right)
  const fields = wanted.map((field) => bindField(sync, field, left, right))
  const sides = {
    left: bindSide('left', sync, left, wanted),
    right: bindSide('right', sync, right, wanted),
  }
  for (const field of fields) refuseUnwritable(sync, field)
  const matches = sync.match.map(({ field, by }) => {
    const at = fields.findIndex(({ name }) => name === field)
    if (at < 0)
      throw invalid(
        sync,
        `match: "${field}" is none of the sync's fields`,
        `They are ${fields.map(({ name }) => name).join(', ')}.`,
      )
    return { at, by }
  })
  return {
    sync,
    ...sides,
    fields,
    newer: bindStamp(sync, left, right),
    matchOf: (side, row) => {
      if (matches.length === 0) return null
      const parts: Value[] = []
      for (const { at, by } of matches) {
        const field = fields[at] as BoundField
        const value = row[at] ?? null
        if (value === null) return null
        if (by === null) {
          const common = side === 'left' ? value : crossOrNull(field, 'right', value)
          if (common === null) return null
          parts.push(canonical(field.left.type, common))
        } else {
          const result = by(value)
          if (result === null || result === undefined) return null
          parts.push(String(result))
        }
      }
      return keyText(parts)
    },
  }
}

/** The key of a side's row. */
export function keyOfSide(side: PairSide, row: Row): Key {
  return keyOf(row, side.keyAt, side.keyTypes)
}

/** Whether a left and a right value mean the same. */
export function same(field: BoundField, left: Value, right: Value): boolean {
  return meets(field, 'left', left, right) || meets(field, 'right', right, left)
}

function meets(field: BoundField, from: SideName, value: Value, other: Value): boolean {
  const to = from === 'left' ? field.right : field.left
  try {
    return equal(to.type, field.cross(from, value), other)
  } catch (error) {
    if (endsRun(error)) throw error
    return false
  }
}

function crossOrNull(field: BoundField, from: SideName, value: Value): Value {
  try {
    return field.cross(from, value)
  } catch (error) {
    if (endsRun(error)) throw error
    return null
  }
}

/** Every field of one name that both sides have, but for those that both of them make themselves (generated columns). */
function commonFields(sync: TwoWaySync, left: Schema, right: Schema): PairField[] {
  const names = left.fields.flatMap(({ name, writable }) => {
    const other = right.fields.find((field) => field.name === name)
    return other !== undefined && (writable || other.writable) ? [name] : []
  })
  if (names.length === 0)
    throw invalid(
      sync,
      `${left.name} and ${right.name} have no field of one name`,
      "Say which belong together: fields: { name: { left: '…', right: '…' } }.",
    )
  return names.map((name) => plainField(name))
}

/** A field of one name on both sides, with all defaults. */
export function plainField(name: string): PairField {
  return {
    name,
    left: name,
    right: name,
    type: null,
    toRight: null,
    toLeft: null,
    direction: 'both',
    edits: 'ignore',
    onConflict: null,
    references: null,
  }
}

function bindField(sync: TwoWaySync, field: PairField, leftSchema: Schema, rightSchema: Schema): BoundField {
  const left = find(sync, field, leftSchema, field.left)
  const right = find(sync, field, rightSchema, field.right)
  const common = field.type ?? left.type
  const through = (value: Value, from: Type, to: Type) => convert(convert(value, from, common), common, to)
  return {
    name: field.name,
    left,
    right,
    direction: narrower(sync.direction, field.direction),
    edits: field.edits,
    rule: field.onConflict ?? sync.onConflict,
    references: field.references,
    matches: (a, b) => {
      const by = sync.match.find((match) => match.field === field.name)?.by ?? null
      return by !== null && a !== null && b !== null && String(by(a)) === String(by(b))
    },
    cross: (from, value) => {
      const custom = from === 'left' ? field.toRight : field.toLeft
      const [source, target] = from === 'left' ? [left, right] : [right, left]
      if (value === null && custom === null) return null
      try {
        if (custom !== null) return fromFunction(target.type, custom(value), from === 'left' ? 'toRight' : 'toLeft')
        return through(value, source.type, target.type)
      } catch (error) {
        if (endsRun(error)) throw error
        if (error instanceof SyncError)
          throw new SyncError(error.code, `field ${field.name}: ${error.message}`, { cause: error })
        throw new SyncError(
          'VALUE_REFUSED',
          `field ${field.name}: a function of the config threw: ${asSyncError(error).message}`,
          { cause: error },
        )
      }
    },
  }
}

/** The flow that both allow. A one-way sync has no fields the other way; such a field stays as it is on both sides. */
function narrower(sync: Direction, field: Direction): Direction {
  return sync === 'both' ? field : sync
}

function find(sync: TwoWaySync, { name }: PairField, schema: Schema, wanted: string): Field {
  const field = schema.fields.find((candidate) => candidate.name === wanted)
  if (field !== undefined) return field
  const names = schema.fields.map((candidate) => candidate.name)
  const nearest = nearestNames(wanted, names)
  throw invalid(
    sync,
    `fields.${name}: ${schema.name} has no field "${wanted}"`,
    nearest.length > 0 ? `Did you mean ${nearest.join(' or ')}?` : `Its fields are ${names.join(', ')}.`,
  )
}

function refuseUnwritable(sync: TwoWaySync, field: BoundField): void {
  const flowsTo = { left: field.direction !== 'left-to-right', right: field.direction !== 'right-to-left' }
  for (const side of ['left', 'right'] as const) {
    if (!flowsTo[side] || field[side].writable) continue
    const direction = side === 'left' ? 'left-to-right' : 'right-to-left'
    throw invalid(
      sync,
      `fields.${field.name}: ${field[side].name} can't be written on the ${side} side (it is generated)`,
      `Let it flow one way only: direction: '${direction}', or leave it out.`,
    )
  }
}

function bindSide(name: SideName, sync: TwoWaySync, schema: Schema, wanted: readonly PairField[]): PairSide {
  if (schema.key.length === 0) {
    throw new SyncError(
      'KEY_MISSING',
      `${schema.name} has no primary key and no unique index over columns that are never NULL`,
      { hint: `Say what identifies a row on the ${name} side: key: { ${name}: ['…'] }.` },
    )
  }
  const fields = wanted.map((field) => field[name])
  const stamp = sync.stamp?.[name].field ?? null
  for (const extra of [...schema.key, ...(stamp === null ? [] : [stamp])]) {
    if (!schema.fields.some((field) => field.name === extra))
      throw invalid(
        sync,
        `${extra === stamp ? `stamp.${name}` : `key.${name}`}: ${schema.name} has no field "${extra}"`,
        `Its fields are ${schema.fields.map((field) => field.name).join(', ')}.`,
      )
    if (!fields.includes(extra)) fields.push(extra)
  }
  const types = fields.map((field) => fieldNamed(schema, field).type)
  const keyAt = schema.key.map((part) => fields.indexOf(part))
  return {
    name,
    schema,
    fields,
    types,
    keyAt,
    keyTypes: keyAt.map((at) => types[at] as Type),
    stampAt: stamp === null ? null : fields.indexOf(stamp),
  }
}

function invalid(sync: TwoWaySync, message: string, hint: string): SyncError {
  return new SyncError('CONFIG_INVALID', `syncs.${sync.id}.${message}`, { hint })
}
