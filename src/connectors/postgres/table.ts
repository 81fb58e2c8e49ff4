/** Making and altering target tables in Postgres. */
import { SyncError } from '../../core/error.ts'
import { describeChange, type Field, type Schema, type SchemaChange } from '../../core/schema.ts'
import type { TargetSpec } from '../connector.ts'
import { ownName } from '../limits.ts'
import type { TargetTable } from '../sql/registry.ts'
import { quote } from '../sql.ts'
import { findTable, nameParts, type Table, tableSql } from './catalog.ts'
import type { Client } from './client.ts'
import { quoteText } from './copy.ts'
import { refusedChange } from './errors.ts'
import { limits } from './limits.ts'
import { bytesSql, groupingSql } from './loose.ts'
import { nativeOf, typeOf } from './types.ts'

/** The column that `deletes: 'mark'` keeps. */
export const deletedField = '_deleted_at'

/** Beside an adopted table: the keys this sync put there, and whether it wrote the row or found it equal. */
export function rowsTableSql(collection: string): string {
  const [schema, table] = nameParts(collection)
  return `${quote(schema)}.${quote(ownName('_syncline_rows_', table, limits))}`
}

/** Beside a table of ours whose sync says `deletes: 'keep'`: the keys of rows that the source deleted and that stay. */
export function keptTableSql(collection: string): string {
  const [schema, table] = nameParts(collection)
  return `${quote(schema)}.${quote(ownName('_syncline_kept_', table, limits))}`
}

export function targetTable(collection: string): TargetTable {
  return { name: collection, sql: tableSql(collection), lists: [rowsTableSql(collection), keptTableSql(collection)] }
}

/** The entry of a row's key in one of these lists, which hold the bytes of keys. */
export function entrySql(list: string, row: string, key: readonly string[], loose: readonly string[]): string {
  const same = key.map((name) => {
    const [listed, its] = [`listed.${quote(name)}`, `${row}.${quote(name)}`]
    return loose.includes(name) ? `${bytesSql(listed)} = ${bytesSql(its)}` : `${listed} = ${its}`
  })
  return `SELECT 1 FROM ${list} AS listed WHERE ${same.join(' AND ')}`
}

/** The schema with the types its columns have in this database: a type that is not there (an enum, say) becomes text. */
export async function resolveTypes(client: Client, schema: Schema): Promise<Schema> {
  const fields = schema.fields.map((field) => ({ ...field, native: nativeOf(field, schema.system) }))
  const natives = [...new Set(fields.map((field) => field.native))]
  const known = await client.query(
    natives
      .map((native) => `SELECT ${quoteText(native)}, to_regtype(${quoteText(native)}) IS NOT NULL`)
      .join(' UNION ALL '),
  )
  const missing = new Set(known.flatMap(([native, there]) => (there === 't' ? [] : [native])))
  return {
    ...schema,
    system: 'postgres',
    fields: fields.map((field) => (missing.has(field.native) ? { ...field, native: 'text' } : field)),
  }
}

/** The types in which the table stores the fields: of one that was adopted its own, which may be an enum where the source has text. */
export async function storedTypes(
  client: Client,
  spec: Pick<TargetSpec, 'schema' | 'collection' | 'adopt'>,
): Promise<Schema> {
  const resolved = await resolveTypes(client, spec.schema)
  const found = spec.adopt ? await findTable(client, spec.collection) : null
  if (found === null) return resolved
  const natives = new Map(found.schema.fields.map(({ name, native }) => [name, native]))
  return {
    ...resolved,
    fields: resolved.fields.map((field) => ({ ...field, native: natives.get(field.name) ?? field.native })),
  }
}

/** Applies what diffSchema found. */
export async function applyChanges(client: Client, spec: TargetSpec, changes: readonly SchemaChange[]): Promise<void> {
  const resolved = await storedTypes(client, spec)
  const native = (field: Field) => resolved.fields.find(({ name }) => name === field.name)?.native ?? 'text'
  for (const change of changes) {
    if (change.kind === 'create') await createTable(client, spec, native)
    if (change.kind === 'add' || change.kind === 'widen') await alterColumn(client, spec, change, native(change.field))
  }
  if (spec.deletes === 'mark')
    await client.query(
      `ALTER TABLE ${tableSql(spec.collection)} ADD COLUMN IF NOT EXISTS ${quote(deletedField)} timestamptz`,
    )
  if (spec.adopt) await prepareAdoption(client, spec, native)
  else if (spec.deletes === 'keep') await prepareKeeping(client, spec, native)
}

/** SCHEMA_DRIFT when what people made of the target is in the way: a view of the column, say, or a column of that name. */
async function alterColumn(
  client: Client,
  spec: TargetSpec,
  change: Extract<SchemaChange, { kind: 'add' | 'widen' }>,
  native: string,
): Promise<void> {
  const column = quote(change.field.name)
  const action = change.kind === 'add' ? `ADD COLUMN ${column} ${native}` : `ALTER COLUMN ${column} TYPE ${native}`
  try {
    await client.query(`ALTER TABLE ${tableSql(spec.collection)} ${action}`)
  } catch (error) {
    const refused = refusedChange(error)
    if (refused === null) throw error
    throw new SyncError(
      'SCHEMA_DRIFT',
      `sync ${spec.sync}: can't ${describeChange(change)} in ${spec.collection}: ${refused.message}`,
      {
        hint: `Nothing was changed. Drop what is in the way${refused.detail === undefined ? '' : ` (${refused.detail})`}, run again (syncline run ${spec.sync}), and make it anew.`,
        cause: error,
      },
    )
  }
}

/** Whether a column takes values in new rows only. That of a key never gets another. */
function isFixed(name: string, key: readonly string[], identities: readonly string[]): boolean {
  return identities.includes(name) && !key.includes(name)
}

/** The schema of a table that is written to row by row: columns that take values in new rows only can't be. */
export function changeable(schema: Schema, identities: readonly string[]): Schema {
  const fields = schema.fields.map((field) =>
    isFixed(field.name, schema.key, identities) ? { ...field, writable: false } : field,
  )
  return { ...schema, fields }
}

/** The found table as the spec's schema would see it: a column of the same type, or of a wider one, counts as that type. */
export function adoptable({ schema, identities }: Table, wanted: Schema): Schema {
  const fields = schema.fields.map((found): Field => {
    const { name } = found
    // An UPDATE names every field but the key.
    const writable = found.writable && !isFixed(name, wanted.key, identities)
    const want = wanted.fields.find((field) => field.name === name)
    return { ...(want !== undefined && typeOf(found.native) === want.type ? want : found), writable }
  })
  return { ...schema, system: wanted.system, fields, key: wanted.key }
}

async function createTable(client: Client, spec: TargetSpec, native: (field: Field) => string): Promise<void> {
  const [schema] = nameParts(spec.collection)
  const [there] = await client.query('SELECT 1 FROM pg_namespace WHERE nspname = $1', [schema])
  if (there === undefined) await client.query(`CREATE SCHEMA ${quote(schema)}`)
  const columns = spec.schema.fields.map((field) => `${quote(field.name)} ${native(field)}`)
  if (spec.deletes === 'mark') columns.push(`${quote(deletedField)} timestamptz`)
  columns.push(`PRIMARY KEY (${spec.schema.key.map(quote).join(', ')})`)
  await client.query(`CREATE TABLE ${tableSql(spec.collection)} (\n  ${columns.join(',\n  ')}\n)`)
}

async function prepareKeeping(client: Client, spec: TargetSpec, native: (field: Field) => string): Promise<void> {
  const key = spec.schema.key.map(quote).join(', ')
  const loose = (await findTable(client, spec.collection))?.loose ?? []
  await client.query(
    `CREATE TABLE IF NOT EXISTS ${keptTableSql(spec.collection)} (${keyColumns(spec, native, loose)}, PRIMARY KEY (${key}))`,
  )
  await ownList(client, spec, keptTableSql(spec.collection))
}

function keyColumns({ schema }: TargetSpec, native: (field: Field) => string, loose: readonly string[]): string {
  const typeOfKey = (name: string) =>
    loose.includes(name) ? 'text COLLATE "C"' : native(schema.fields.find((field) => field.name === name) as Field)
  return schema.key.map((name) => `${quote(name)} ${typeOfKey(name)}`).join(', ')
}

/** The list of our keys beside an adopted table. The table's own key must tell its rows apart. */
async function prepareAdoption(client: Client, spec: TargetSpec, native: (field: Field) => string): Promise<void> {
  const key = spec.schema.key.map(quote).join(', ')
  const loose = (await findTable(client, spec.collection))?.loose ?? []
  await client.query(
    `CREATE TABLE IF NOT EXISTS ${rowsTableSql(spec.collection)} (${keyColumns(spec, native, loose)}, _written boolean NOT NULL, PRIMARY KEY (${key}))`,
  )
  await ownList(client, spec, rowsTableSql(spec.collection))
  const [twin] = await client.query(
    `SELECT 1 FROM ${tableSql(spec.collection)} GROUP BY ${groupingSql(spec.schema.key, loose)} HAVING count(*) > 1 LIMIT 1`,
  )
  if (twin === undefined) return
  throw new SyncError(
    'KEY_DUPLICATE',
    `several rows of ${spec.collection} have the same (${spec.schema.key.join(', ')}), so it can't be adopted`,
    {
      hint: 'Remove the duplicates, or choose another `key`.',
    },
  )
}

/** Whose list it is stands in its comment: another table's rows are never taken for this one's. */
async function ownList(client: Client, { collection }: TargetSpec, list: string): Promise<void> {
  const owner = `rows of ${nameParts(collection).map(quote).join('.')}`
  const [row] = await client.query(`SELECT obj_description(${quoteText(list)}::regclass, 'pg_class')`)
  const said = row?.[0] ?? null
  if (said === null) await client.query(`COMMENT ON TABLE ${list} IS ${quoteText(owner)}`)
  else if (said !== owner)
    throw new SyncError(
      'TARGET_NOT_OURS',
      `${list} is not the list of this sync's rows in ${collection}: it says ${said}`,
      {
        hint: 'Rename or drop the one of the two that should not be there.',
      },
    )
}
