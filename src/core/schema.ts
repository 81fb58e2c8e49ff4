/** Schemas: what a collection's rows look like, and what changed between two versions of that. */
import { SyncError } from './error.ts'
import type { Type } from './value.ts'

/** One field of a collection. */
export interface Field {
  readonly name: string
  readonly type: Type
  /** The type as the system declares it: `numeric(12,2)`, `int4[]`. Empty: none declared, the target takes what fits `type`. */
  readonly native: string
  readonly nullable: boolean
  readonly writable: boolean
  /** What the system's own declaration means, where the config says another `type`: values are read as the config says. */
  readonly systemType?: Type
}

/** The shape of a collection's rows. */
export interface Schema {
  /** The collection's name within its connection: `public.orders`, `orders`. */
  readonly name: string
  /** The connector whose spelling `native` uses. */
  readonly system: string
  readonly fields: readonly Field[]
  /** Names of the key fields, in key order. Empty: the system declares none. */
  readonly key: readonly string[]
  /** Why its rows can't be read at all: a view of a table that is gone, or of functions that only its application has. It has no fields then. */
  readonly unreadable?: string
}

/** KEY_MISSING, COLLECTION_UNREADABLE: why a collection can't be synced as it is; null: nothing is known to keep it. */
export function whyNotSynced({ name, key, unreadable }: Schema): SyncError | null {
  if (unreadable !== undefined)
    return new SyncError('COLLECTION_UNREADABLE', `${name} can't be read: ${unreadable}`, {
      hint: `Mend it, or leave it out of the pattern ('!${name}').`,
    })
  if (key.length > 0) return null
  return new SyncError(
    'KEY_MISSING',
    `${name} has no primary key and no unique index over columns that are never NULL`,
    {
      hint: `Say in a sync of its own what identifies a row (key: ['…']), or leave it out of a pattern ('!${name}').`,
    },
  )
}

/** A field by its name; CONFIG_INVALID lists what there is. */
export function fieldNamed(schema: Pick<Schema, 'fields'>, name: string): Field {
  const field = schema.fields.find((candidate) => candidate.name === name)
  if (field !== undefined) return field
  throw new SyncError('CONFIG_INVALID', `there is no column ${name}`, {
    hint: `The columns are ${schema.fields.map((known) => known.name).join(', ')}.`,
  })
}

/** The schema with another key, where a person chose one. */
export function withKey(schema: Schema, key: readonly string[] | null): Schema {
  if (key === null) return schema
  for (const name of key) fieldNamed(schema, name)
  return { ...schema, key }
}

/** An adopted table: what a sync holds of it, and, as fields that it does not have to mind, what else it was found to have. */
export function withTheirs(
  held: { readonly schema: Schema; readonly orphans: readonly string[] },
  found: Schema,
): typeof held {
  const theirs = found.fields.filter(({ name }) => held.schema.fields.every((field) => field.name !== name))
  return {
    schema: { ...held.schema, fields: [...held.schema.fields, ...theirs] },
    orphans: [...held.orphans, ...theirs.map(({ name }) => name)],
  }
}

/** SCHEMA_CHANGED if a collection is not any more what it was when its schema was read: its rows would be misread. */
export function refuseChanged(was: Schema, now: Schema | null): void {
  if (now !== null && JSON.stringify(now.fields) === JSON.stringify(was.fields)) return
  throw new SyncError('SCHEMA_CHANGED', `the schema of ${was.name} changed while a run was beginning`, {
    hint: 'The run is tried again with the new schema.',
  })
}

/** One difference between the schema a target holds and the schema it should hold. */
export type SchemaChange =
  | { readonly kind: 'create'; readonly schema: Schema }
  | { readonly kind: 'add'; readonly field: Field }
  | { readonly kind: 'widen'; readonly field: Field; readonly was: Field }
  /** The source dropped it; the target keeps the column, empty in new rows. */
  | { readonly kind: 'orphan'; readonly field: Field }
  | { readonly kind: 'incompatible'; readonly field: Field; readonly was: Field }
  /** Other fields identify a row than those that the target was made with. */
  | { readonly kind: 'rekey'; readonly from: readonly string[]; readonly to: readonly string[] }

/** Whether the target can't follow this by itself. */
export function isDrift({ kind }: Pick<SchemaChange, 'kind'>): boolean {
  return kind === 'incompatible' || kind === 'rekey'
}

/**
 * What must change so that a target that holds `have` can hold `want`. Orphans already known are not reported again. `asText`: fields that
 * a person declared as text, which holds the values of every other type, too.
 */
export function diffSchema(
  have: Schema | null,
  want: Schema,
  orphans: readonly string[] = [],
  asText: ReadonlySet<string> = new Set(),
): SchemaChange[] {
  if (have === null) return [{ kind: 'create', schema: want }]
  const changes: SchemaChange[] = []
  if (have.key.join('\0') !== want.key.join('\0')) changes.push({ kind: 'rekey', from: have.key, to: want.key })
  const wanted = new Set(want.fields.map((field) => field.name))
  const held = new Map(have.fields.map((field) => [field.name, field]))
  for (const field of want.fields) {
    const was = held.get(field.name)
    if (was === undefined) changes.push({ kind: 'add', field })
    else if (was.type === field.type && (isSpelledAs(was, field) || !comparable(have, want))) continue
    else if (asText.has(field.name) || (comparable(have, want) ? widens(was, field) : widens(bare(was), bare(field))))
      changes.push({ kind: 'widen', field, was })
    else changes.push({ kind: 'incompatible', field, was })
  }
  for (const field of have.fields) {
    if (!wanted.has(field.name) && !orphans.includes(field.name)) changes.push({ kind: 'orphan', field })
  }
  return changes
}

/** Whether the two declare natives in one spelling that binds values. SQLite enforces no length that it declares. */
function comparable(have: Schema, want: Schema): boolean {
  return have.system === want.system && want.system !== 'sqlite'
}

/** Without a native, a field takes every value of its type. */
function isSpelledAs(was: Field, now: Field): boolean {
  return was.native === now.native || (now.native === '' && unbounded.includes(was.native))
}

function bare(field: Field): Field {
  return { ...field, native: '' }
}

/** Whether every value of `was` is also a value of `now`, spelled the same or convertible without loss. */
export function widens(was: Field, now: Field): boolean {
  const a = parseNative(was.native)
  const b = parseNative(now.native)
  if (was.type === now.type) return now.native === '' || widensNative(a, b)
  if (was.type === 'integer' && now.type === 'decimal')
    return b.limits.length === 0 || limitOf(b) - (b.limits[1] ?? 0) >= 19
  if (was.type === 'uuid' && now.type === 'text') return b.limits.length === 0
  return false
}

/** One line a person can read: `add column note (text)`. */
export function describeChange(change: SchemaChange): string {
  switch (change.kind) {
    case 'create':
      return `create ${change.schema.name} (${change.schema.fields.length} columns)`
    case 'add':
      return `add column ${change.field.name} (${spell(change.field)}) and fill it for existing rows`
    case 'widen':
      return `widen column ${change.field.name} from ${spell(change.was)} to ${spell(change.field)}`
    case 'orphan':
      return `column ${change.field.name} is gone at the source; the target keeps it`
    case 'rekey':
      return `key changed from ${change.from.join(', ') || 'none'} to ${change.to.join(', ')}`
    case 'incompatible':
      return `column ${change.field.name} changed from ${spell(change.was)} to ${spell(change.field)}, which does not fit`
  }
}

function spell(field: Field): string {
  return field.native === '' ? field.type : field.native
}

interface Native {
  readonly name: string
  readonly limits: readonly number[]
}

/** Of each type the one that holds all its values. */
const unbounded = [
  ...['boolean', 'bigint', 'double precision', 'numeric', 'text', 'bytea', 'uuid', 'jsonb'],
  ...['date', 'time without time zone', 'timestamp without time zone', 'timestamp with time zone'],
]
const integerWidths = ['smallint', 'integer', 'bigint']
const floatWidths = ['real', 'double precision']
const textNames = ['text', 'character varying', 'varchar']

function widensNative(was: Native, now: Native): boolean {
  if (was.name === now.name) return widensLimits(was, now)
  const order = (widths: readonly string[]) =>
    widths.includes(was.name) && widths.indexOf(now.name) > widths.indexOf(was.name)
  if (order(integerWidths) || order(floatWidths)) return true
  if (textNames.includes(now.name) && now.limits.length === 0) return true
  return was.name === 'json' && now.name === 'jsonb'
}

function widensLimits(was: Native, now: Native): boolean {
  if (now.limits.length === 0) return true
  if (was.limits.length === 0) return false
  const scaleWas = was.limits[1] ?? 0
  const scaleNow = now.limits[1] ?? 0
  if (now.name === 'numeric') return scaleNow >= scaleWas && limitOf(now) - scaleNow >= limitOf(was) - scaleWas
  return limitOf(now) >= limitOf(was)
}

function limitOf(native: Native): number {
  return native.limits[0] ?? 0
}

function parseNative(native: string): Native {
  const match = /^([^(]*?)\s*\(([\d,\s]+)\)(.*)$/.exec(native)
  if (match === null) return { name: native, limits: [] }
  return { name: `${match[1]}${match[3]}`, limits: (match[2] ?? '').split(',').map(Number) }
}
