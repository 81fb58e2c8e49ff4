/** Both sides of a mirror sync, opened and checked: the source collection, the sink, and the mapping between them. */
import type { Collection, CollectionOptions, Sink, TargetSpec, TargetState } from '../../connectors/connector.ts'
import { refuseOtherOwner } from '../../connectors/ownership.ts'
import { SyncError } from '../../core/error.ts'
import { fingerprint } from '../../core/fingerprint.ts'
import { bindMapping, type Mapping } from '../../core/mapping.ts'
import { describeChange, diffSchema, isDrift, type Schema, type SchemaChange } from '../../core/schema.ts'
import type { Sync } from '../../core/sync.ts'
import type { Type } from '../../core/value.ts'
import { openSideCollection } from '../connections/side-collection.ts'
import type { Project } from '../project.ts'

export interface Sides extends AsyncDisposable {
  readonly sync: Sync
  readonly source: Collection
  readonly sink: Sink
  readonly spec: TargetSpec
  readonly mapping: Mapping
  /** What the target held before this run changed anything. */
  readonly state: TargetState
  readonly changes: readonly SchemaChange[]
  readonly fingerprint: string
}

/** Opens both sides. Reads only. Refuses a target that belongs to somebody else, and a schema that no longer fits. */
export async function openSides(sync: Sync, project: Project): Promise<Sides> {
  const source = await openSideCollection(project, sync.from, optionsOf(sync))
  const right = await project.connection(sync.to.connection)
  if (right.sink === undefined) {
    throw new SyncError('READ_ONLY', `connection ${sync.to.connection} can't be the target of a one-way sync`, {
      hint: 'Its system has no transactions to keep rows and checkpoint together.',
    })
  }
  const sink = await right.sink([sync.id])
  try {
    const mapping = bindMapping(sync, source.schema, (field) => sink.declaredLoss?.(field) ?? null)
    refuseMarkField(sync, mapping)
    const wanted: TargetSpec = {
      sync: sync.id,
      project: project.id,
      collection: sync.to.collection,
      schema: mapping.schema,
      adopt: sync.adopt,
      deletes: sync.deletes,
    }
    const state = await sink.inspect(wanted)
    refuseForeign(wanted, state)
    refuseGenerated(wanted, state)
    // Whose rows a table holds was settled when it was first claimed.
    const adopted = state.schema === null || state.owner === null ? undefined : state.adopted
    const spec: TargetSpec = { ...wanted, adopt: adopted ?? sync.adopt }
    const changes = diffSchema(state.schema, spec.schema, state.orphans, spec.adopt ? new Set() : declaredTexts(sync))
    return {
      sync,
      source,
      sink,
      spec,
      mapping,
      state,
      changes,
      fingerprint: fingerprint(sync, spec.schema),
      [Symbol.asyncDispose]: () => sink[Symbol.asyncDispose](),
    }
  } catch (error) {
    await sink[Symbol.asyncDispose]()
    throw error
  }
}

/** What a sync says of its source. */
export function optionsOf({ key, cursor, fields }: Sync): CollectionOptions {
  const types = new Map<string, Type>()
  for (const rule of fields?.values() ?? [])
    if (rule.kind === 'from' && rule.type !== undefined) types.set(rule.from, rule.type)
  return { key, cursor, types }
}

/** Fields of which the sync says that they are text. */
function declaredTexts({ fields }: Sync): ReadonlySet<string> {
  return new Set([...(fields ?? [])].flatMap(([name, { type }]) => (type === 'text' ? [name] : [])))
}

/** SCHEMA_DRIFT when the source's schema changed so that the target can't follow by itself. */
export function refuseDrift({ sync, changes, spec }: Pick<Sides, 'sync' | 'changes' | 'spec'>): void {
  const drift = changes.filter(isDrift)
  if (drift.length === 0) return
  const message = `sync ${sync.id}: ${drift.map(describeChange).join('; ')}`
  if (drift.some(({ kind }) => kind === 'rekey'))
    throw new SyncError('SCHEMA_DRIFT', message, {
      hint: `Nothing was changed. Either say \`key\` as it was, or make the target anew with the new key: syncline reset ${sync.id} --drop (a table that the sync adopted keeps its rows), then run.`,
    })
  throw new SyncError('SCHEMA_DRIFT', message, { hint: `Nothing was changed. ${waysOut(sync, spec, drift)}` })
}

function waysOut(sync: Sync, { adopt, schema }: TargetSpec, drift: readonly SchemaChange[]): string {
  const changed = drift.flatMap((change) => (change.kind === 'incompatible' ? [change] : []))
  const reset = `syncline reset ${sync.id} --drop, then run.`
  // A key keeps its type.
  if (changed.some(({ field }) => schema.key.includes(field.name)) || isOfPattern(sync))
    return `Make the target anew with all its rows: ${reset}`
  const types = new Map(changed.map(({ field, was }) => [field.name, adopt ? was.type : 'text']))
  const fields = `fields: ${fieldsText(sync, schema, types)}`
  if (adopt)
    return `Either declare the type that the table has (${fields}; a value that is none is a rejected row), or change the column of the table by hand and run.`
  return `Either keep old and new values as text (${fields}), or make the target anew with all its rows: ${reset}`
}

/** A sync that a pattern made has no fields of its own. */
function isOfPattern({ id }: Sync): boolean {
  return id.includes('/')
}

/** The sync's fields as a config has them, these with these types. */
function fieldsText({ fields }: Sync, schema: Schema, types: ReadonlyMap<string, Type>): string {
  const lines = schema.fields.map(({ name }) => {
    const rule = fields?.get(name)
    const from = rule?.kind === 'from' ? rule.from : name
    const type = types.get(name) ?? rule?.type
    if (rule?.kind === 'compute') return `${spell(name)}: { compute: …, type: '${type}' }`
    return `${spell(name)}: ${type === undefined ? inQuotes(from) : `{ from: ${inQuotes(from)}, type: '${type}' }`}`
  })
  return `{ ${lines.join(', ')} }`
}

function inQuotes(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`
}

function spell(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name)
}

/** The column in which the connectors' targets keep when a row was deleted. */
const deletedField = '_deleted_at'

function refuseMarkField({ id, deletes }: Sync, { schema }: Mapping): void {
  if (deletes !== 'mark' || schema.fields.every(({ name }) => name.toLowerCase() !== deletedField)) return
  throw new SyncError(
    'CONFIG_INVALID',
    `sync ${id}: it would write a field ${deletedField}, which \`deletes: 'mark'\` needs for itself`,
    {
      hint: `List the fields with \`fields\` and give this one another name (source_deleted_at: '${deletedField}'), or leave it out.`,
    },
  )
}

/** A column that the target's system fills itself takes no value of ours. */
function refuseGenerated({ sync, collection, schema }: TargetSpec, state: TargetState): void {
  const generated = state.schema?.fields.find(
    ({ name, writable }) => !writable && schema.fields.some((field) => field.name === name),
  )
  if (generated === undefined) return
  throw new SyncError(
    'CONFIG_INVALID',
    `sync ${sync}: the target table ${collection} generates its column ${generated.name} itself`,
    { hint: 'List the fields with `fields`, and leave this one out.' },
  )
}

/** Whether the target is a table to be adopted, none of whose rows is the sync's yet: then none is extra. */
export function isForeign({ state }: Pick<Sides, 'state'>): boolean {
  return state.schema !== null && state.owner === null
}

function refuseForeign(spec: TargetSpec, state: TargetState): void {
  if (state.schema === null) return
  if (state.owner === null) {
    if (spec.adopt) return
    throw new SyncError(
      'TARGET_NOT_OURS',
      `the target table ${spec.collection} exists already, and Syncline did not make it`,
      {
        hint: 'Choose another name with `to`, or take it over with `adopt: true` (rows that this sync did not write are never deleted).',
      },
    )
  }
  refuseOtherOwner(spec, state.owner)
}
