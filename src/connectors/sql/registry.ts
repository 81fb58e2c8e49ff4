/** `_syncline_collection`: whose each target table is, and with which schema it was made. */
import { type Schema, type SchemaChange, withTheirs } from '../../core/schema.ts'
import type { Owner, TargetSpec, TargetState } from '../connector.ts'
import { refuseOtherOwner } from '../ownership.ts'
import { forgetCheckpoint, readCheckpoint, resetCheckpoint } from './checkpoints.ts'
import type { Fence } from './fence.ts'
import { forgetRejections } from './rejections.ts'
import { ask, run, type SqlSession } from './session.ts'
import { raw, sql } from './statement.ts'

/** A target table and what Syncline keeps beside it, in the system's spelling. */
export interface TargetTable {
  /** As `_syncline_collection` has it. */
  readonly name: string
  readonly sql: string
  /** Tables with keys of its rows. */
  readonly lists: readonly string[]
}

/** What a table that is there holds for a sync. `found`: as it could be adopted. */
export async function targetState(
  session: SqlSession,
  spec: TargetSpec,
  name: string,
  found: Schema,
): Promise<TargetState> {
  const held = await remembered(session, name)
  if (held === null) return unownedState(found)
  const { owner, schema, orphans, adopted } = held
  return {
    ...(adopted ? withTheirs({ schema, orphans }, found) : { schema, orphans }),
    owner,
    adopted,
    checkpoint: await readCheckpoint(session, spec),
  }
}

/** The same of a table that Syncline did not make. */
export function unownedState(found: Schema): TargetState {
  return { schema: found, orphans: found.fields.map((field) => field.name), owner: null, checkpoint: null }
}

/**
 * Changes a target table and remembers what it holds from then on; `apply` makes the changes. In the transaction that takes the fence.
 * TARGET_NOT_OURS, TARGET_SHARED: the table is another's.
 */
export async function changeTable(
  session: SqlSession,
  spec: TargetSpec,
  table: TargetTable,
  changes: readonly SchemaChange[],
  apply: () => Promise<void>,
): Promise<void> {
  if (changes.some((change) => change.kind === 'create')) await forgetTable(session, spec, table)
  const before = await remembered(session, table.name)
  if (before !== null) refuseOtherOwner(spec, before.owner)
  await apply()
  if (before !== null && changes.length === 0) return
  const dropped = changes.flatMap((change) => (change.kind === 'orphan' ? [change.field.name] : []))
  const orphans = [...(before?.orphans ?? []), ...dropped]
  await remember(session, spec, table.name, { before: before?.schema ?? null, orphans })
}

/** Forgets the checkpoint; with `drop` also the table. In a transaction. */
export async function resetTarget(session: SqlSession, fence: Fence, table: TargetTable, drop: boolean): Promise<void> {
  await resetCheckpoint(session, fence)
  if (drop) await dropTable(session, fence, table)
}

/** Only a table that this sync made is dropped; one that it adopted stays, and is given up. Another's is not touched. */
async function dropTable(session: SqlSession, fence: Fence, table: TargetTable): Promise<void> {
  await forgetRejections(session, fence)
  const held = await remembered(session, table.name)
  if (held?.owner.project !== fence.project || held.owner.sync !== fence.sync) return
  await forgetEntry(session, table)
  if (!held.adopted) await session.execute(`DROP TABLE IF EXISTS ${table.sql}`)
}

/** What is known of a table that Syncline made or adopted. */
interface Remembered {
  readonly owner: Owner
  /** With declared types; columns that the source dropped are in it, too. */
  readonly schema: Schema
  /** Names of columns that the source dropped. */
  readonly orphans: readonly string[]
  readonly adopted: boolean
}

/** Null: a table that Syncline did not make and has not adopted. */
async function remembered(session: SqlSession, name: string): Promise<Remembered | null> {
  const [row] = await ask(
    session,
    sql`SELECT project, sync, schema, orphans, CASE WHEN adopted THEN 1 ELSE 0 END FROM _syncline_collection WHERE name = ${name}`,
  )
  if (row === undefined) return null
  return {
    owner: { project: String(row[0]), sync: String(row[1]) },
    schema: parseSchema(String(row[2])),
    orphans: JSON.parse(String(row[3])) as string[],
    adopted: Number(row[4]) === 1,
  }
}

/** The table is made anew, so what was remembered of one that somebody dropped, above all how far it had read, is void. */
async function forgetTable(session: SqlSession, fence: Fence, table: TargetTable): Promise<void> {
  await forgetCheckpoint(session, fence)
  await forgetEntry(session, table)
}

/** Keeps the spec's schema, and of the one before what the spec has not. TARGET_NOT_OURS, TARGET_SHARED: another's came first. */
async function remember(
  session: SqlSession,
  spec: TargetSpec,
  name: string,
  { before, orphans }: { readonly before: Schema | null; readonly orphans: readonly string[] },
): Promise<void> {
  const wanted = new Set(spec.schema.fields.map((field) => field.name))
  const kept = (before?.fields ?? []).filter((field) => !wanted.has(field.name))
  const schema: Schema = { ...spec.schema, fields: [...spec.schema.fields, ...kept] }
  const left = orphans.filter((orphan) => !wanted.has(orphan))
  const written = await run(
    session,
    sql`INSERT INTO _syncline_collection AS held (name, project, sync, schema, orphans, adopted)
      VALUES (${name}, ${spec.project}, ${spec.sync}, ${JSON.stringify(schema)}, ${JSON.stringify(left)}, ${raw(spec.adopt ? 'TRUE' : 'FALSE')})
      ON CONFLICT (name) DO UPDATE SET schema = excluded.schema, orphans = excluded.orphans
        WHERE held.project = excluded.project AND held.sync = excluded.sync`,
  )
  if (written === 1) return
  const other = await remembered(session, name)
  if (other !== null) refuseOtherOwner(spec, other.owner)
}

async function forgetEntry(session: SqlSession, { name, lists }: TargetTable): Promise<void> {
  await run(session, sql`DELETE FROM _syncline_collection WHERE name = ${name}`)
  for (const list of lists) await session.execute(`DROP TABLE IF EXISTS ${list}`)
}

/** Our own JSON, written by us in the same database: trusted. */
export function parseSchema(json: string): Schema {
  return JSON.parse(json) as Schema
}
