/** The mapping of a sync, bound to its source: which fields to read, and how a source row becomes a target row. */
import { convert, fromFunction } from './convert.ts'
import { endsRun, SyncError } from './error.ts'
import type { Where } from './filter.ts'
import { nearestNames } from './name.ts'
import { type Field, type Schema, whyNotSynced } from './schema.ts'
import type { FieldRule, Rejection, Sync } from './sync.ts'
import { canonical, type Key, type Row, type Type, type Value } from './value.ts'

export interface Mapping {
  /** The target's schema: its name, target field names, its key. */
  readonly schema: Schema
  /** What to read: source fields in the order the rows must have, and the filter. */
  readonly selection: { readonly fields: readonly string[]; readonly where: Where | null }
  /** Source names of the key, in key order; and where they stand in a read row and in a target row. */
  readonly sourceKey: readonly string[]
  readonly keyAtSource: readonly number[]
  readonly keyAtTarget: readonly number[]
  readonly keyTypes: readonly Type[]
  /** Whether read rows are target rows already, value by value. */
  readonly passes: boolean
  /** Turns read rows into target rows. Rows that already are pass through without a copy. */
  readonly map: (rows: readonly Row[]) => MappedRows
}

export interface MappedRows {
  readonly rows: readonly Row[]
  readonly rejects: readonly Rejection[]
  /** Values changed by a declared loss. */
  readonly lossy: number
}

/** A target field's declared loss: what a value becomes when it is stored. */
export type Loss = (value: Value) => Value
type Cell = (row: Row) => Value

/** Binds a sync to its source's schema. `lossOf` tells what the target can't keep of a field. */
export function bindMapping(sync: Sync, source: Schema, lossOf: (field: Field) => Loss | null): Mapping {
  const obstacle = whyNotSynced(source)
  if (obstacle !== null) throw obstacle
  const rules = [
    ...(sync.fields ??
      new Map(source.fields.map((field): [string, FieldRule] => [field.name, { kind: 'from', from: field.name }]))),
  ]
  const computes = rules.some(([, rule]) => rule.kind === 'compute')
  const fields = rules.map(([name, rule]) => targetField(sync, source, name, rule))
  const read = computes
    ? source.fields.map((field) => field.name)
    : rules.map(([, rule]) => (rule.kind === 'from' ? rule.from : ''))
  const key = source.key.map((name) => targetKey(sync, source, rules, fields, name))
  const keyAtTarget = key.map((name) => fields.findIndex((field) => field.name === name))
  const keyTypes = keyAtTarget.map((at) => (fields[at] as Field).type)
  const losses = fields.map(lossOf)
  const keyAtSource = source.key.map((name) => read.indexOf(name))
  const cells = cellsOf(rules, source, read)
  return {
    passes: cells === null && losses.every((loss) => loss === null),
    schema: { name: sync.to.collection, system: source.system, fields, key },
    selection: { fields: read, where: sync.where },
    sourceKey: source.key,
    keyAtSource,
    keyAtTarget,
    keyTypes,
    map: mapRows(cells, losses, (row) => keyOf(row, keyAtSource, keyTypes)),
  }
}

/** The key of a row in its one spelling, given where its parts stand. */
export function keyOf(row: Row, at: readonly number[], keyTypes: readonly Type[]): Key {
  return at.map((index, i) => canonical(keyTypes[i] as Type, row[index] ?? null))
}

function targetField(sync: Sync, source: Schema, name: string, rule: FieldRule): Field {
  if (rule.kind === 'compute') return { name, type: rule.type, native: '', nullable: true, writable: true }
  const from = sourceField(sync, source, name, rule.from)
  const asSystem = from.systemType === undefined
  // Text that is declared is any text, whatever length or list of values the source gives its own.
  const asIs = rule.type === undefined || (rule.type === from.type && (rule.type !== 'text' || from.native === 'text'))
  if (asSystem && asIs) return { ...from, name, writable: true }
  return { name, type: rule.type ?? from.type, native: '', nullable: from.nullable, writable: true }
}

function sourceField(sync: Sync, source: Schema, name: string, from: string): Field {
  const field = source.fields.find((candidate) => candidate.name === from)
  if (field !== undefined) return field
  const names = source.fields.map((candidate) => candidate.name)
  const nearest = nearestNames(from, names)
  throw new SyncError('CONFIG_INVALID', `syncs.${sync.id}.fields.${name}: ${source.name} has no field "${from}"`, {
    hint: nearest.length > 0 ? `Did you mean ${nearest.join(' or ')}?` : `Its fields are ${names.join(', ')}.`,
  })
}

/** Keys pass through as they are spelled: a key that is converted or computed could make two rows one, or change their order. */
function targetKey(
  sync: Sync,
  source: Schema,
  rules: readonly (readonly [string, FieldRule])[],
  fields: readonly Field[],
  name: string,
): string {
  const at = rules.findIndex(([, rule]) => rule.kind === 'from' && rule.from === name)
  const target = fields[at]
  if (target === undefined) {
    throw new SyncError(
      'CONFIG_INVALID',
      `syncs.${sync.id}.fields: the key field "${name}" of ${source.name} is not among the fields`,
      { hint: `Add ${name}: '${name}'.` },
    )
  }
  const type = source.fields.find((field) => field.name === name)?.type
  const spelled = ['text', 'uuid', 'date', 'time', 'timestamp', 'instant']
  if (target.type === 'json' || (target.type !== type && !(target.type === 'text' && spelled.includes(String(type))))) {
    throw new SyncError(
      'CONFIG_INVALID',
      `syncs.${sync.id}.fields.${target.name}: a key can't be ${target.type === 'json' ? 'json' : `converted from ${type} to ${target.type}`}`,
      {
        hint: 'Keep the type of the key, or choose another `key`.',
      },
    )
  }
  return target.name
}

/** How each target cell is made; null: rows are already as the target wants them. */
function cellsOf(
  rules: readonly (readonly [string, FieldRule])[],
  source: Schema,
  read: readonly string[],
): readonly Cell[] | null {
  if (
    rules.every(
      ([, rule]) => rule.kind === 'from' && (rule.type === undefined || rule.type === typeOf(source, rule.from)),
    )
  )
    return null
  return rules.map(([name, rule], at): Cell => {
    if (rule.kind === 'compute') {
      return (row) =>
        fromFunction(
          rule.type,
          rule.compute(Object.fromEntries(read.map((field, i) => [field, row[i] ?? null]))),
          `compute of field ${name}`,
        )
    }
    // Without computed fields, rows are read in target order, and a field may be read twice.
    const from = rules.some(([, other]) => other.kind === 'compute') ? read.indexOf(rule.from) : at
    const type = typeOf(source, rule.from)
    const to = rule.type ?? type
    return (row) => {
      try {
        return convert(row[from] ?? null, type, to)
      } catch (error) {
        if (!(error instanceof SyncError)) throw error
        throw new SyncError(error.code, `field ${name}: ${error.message}`, { cause: error })
      }
    }
  })
}

function mapRows(
  cells: readonly Cell[] | null,
  losses: readonly (Loss | null)[],
  keyOfRow: (row: Row) => Key,
): Mapping['map'] {
  const lossy = losses.flatMap((loss, at) => (loss === null ? [] : [{ loss, at }]))
  return (rows) => {
    const rejects: Rejection[] = []
    const mapped = cells === null ? rows : rows.flatMap((row) => mapRow(cells, row, keyOfRow, rejects))
    let lost = 0
    for (const { loss, at } of lossy) {
      for (const row of mapped) {
        const value = row[at] ?? null
        const kept = loss(value)
        if (Object.is(kept, value)) continue
        setCell(row, at, kept)
        lost++
      }
    }
    return { rows: mapped, rejects, lossy: lost }
  }
}

function mapRow(cells: readonly Cell[], row: Row, keyOfRow: (row: Row) => Key, rejects: Rejection[]): Row[] {
  try {
    return [cells.map((cell) => cell(row))]
  } catch (error) {
    if (endsRun(error)) throw error
    const message =
      error instanceof SyncError
        ? error.message
        : `a function of the config threw: ${error instanceof Error ? error.message : String(error)}`
    rejects.push({ key: keyOfRow(row), code: 'VALUE_REFUSED', message })
    return []
  }
}

/** Rows are ours until the target has them; a second array per row would cost more than anything else here. */
function setCell(row: Row, at: number, value: Value): void {
  if (Array.isArray(row)) row[at] = value
}

function typeOf(source: Schema, name: string): Type {
  return source.fields.find((field) => field.name === name)?.type ?? 'text'
}
