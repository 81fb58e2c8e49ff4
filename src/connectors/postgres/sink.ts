/** A Postgres database as a transactional target. */
import { SyncError } from '../../core/error.ts'
import type { Schema, SchemaChange } from '../../core/schema.ts'
import type { SyncId } from '../../core/sync-id.ts'
import type { Context, Sink, SinkTransaction, Target, TargetSpec, TargetState, View } from '../connector.ts'
import { refuseBeyondLimits } from '../limits.ts'
import { readCheckpoint, storeCheckpoint } from '../sql/checkpoints.ts'
import { changeTable, resetTarget, targetState, unownedState } from '../sql/registry.ts'
import { readRejections, replaceRejections } from '../sql/rejections.ts'
import { quote } from '../sql.ts'
import { findTable, nameParts, tableSql } from './catalog.ts'
import { type Client, connect } from './client.ts'
import type { PostgresConfig } from './config.ts'
import { beginFenced, raiseFence, takeFence } from './fence.ts'
import { limits } from './limits.ts'
import { migrate, migrated } from './migrations.ts'
import { copyEncoding } from './read.ts'
import { rehearse } from './rehearsal.ts'
import type { Relation } from './rows.ts'
import {
  adoptable,
  applyChanges,
  deletedField,
  entrySql,
  keptTableSql,
  rowsTableSql,
  storedTypes,
  targetTable,
} from './table.ts'
import { openView } from './view.ts'
import { TableWriter } from './write.ts'

/** A target this sink has claimed: what to write, and the fence that allows it. */
interface Claim {
  readonly spec: TargetSpec
  readonly generation: number
  readonly writer: TableWriter
}

export function openSink(config: PostgresConfig, context: Context): Sink {
  const claims = new Map<SyncId, Claim>()
  let session: Client | null = null
  const client = async () => {
    session ??= await connect(config, context.signal)
    return session
  }
  return {
    inspect: async (spec) => inspect(await client(), spec),
    claim: async (spec, changes, held) => {
      const writer = await client()
      await migrate(writer)
      const [claim, target] = await claimTarget(writer, spec, { changes, held }, claims.size, context)
      claims.set(spec.sync, claim)
      return target
    },
    begin: async () => openTransaction(await client(), claims),
    view: (spec, rows) => viewTarget(config, context, spec, rows),
    rehearse: async (spec, rows) => rehearse(await client(), spec, rows),
    rejections: async (spec) => readRejections(await client(), spec),
    reset: async (spec, drop) => reset(await client(), spec, drop),
    [Symbol.asyncDispose]: async () => {
      await session?.[Symbol.asyncDispose]()
      session = null
    },
  }
}

async function inspect(client: Client, spec: TargetSpec): Promise<TargetState> {
  refuseBeyondLimits(spec, nameParts(spec.collection), limits)
  const found = await findTable(client, spec.collection)
  if (found === null) return { schema: null, orphans: [], owner: null, checkpoint: null }
  if (found.kind !== 'r' && found.kind !== 'p')
    throw new SyncError('TARGET_NOT_OURS', `${spec.collection} is not a table`, {
      hint: 'Choose another target name with `to`.',
    })
  const wanted = adoptable(found, spec.schema)
  return (await migrated(client)) ? await targetState(client, spec, spec.collection, wanted) : unownedState(wanted)
}

async function claimTarget(
  client: Client,
  spec: TargetSpec,
  { changes, held }: { readonly changes: readonly SchemaChange[]; readonly held: number | null },
  number: number,
  context: Context,
): Promise<[Claim, Target]> {
  const taken = await takeFence(client, spec, held, context)
  await beginFenced(client, [{ spec, generation: taken }], "SET LOCAL lock_timeout = '30s'")
  try {
    const generation = held === null ? taken : await raiseFence(client, spec, taken)
    await changeTable(client, spec, targetTable(spec.collection), changes, () => applyChanges(client, spec, changes))
    await client.commit()
    const schema = await storedTypes(client, spec)
    const loose = (await findTable(client, spec.collection))?.loose ?? []
    const writer = new TableWriter(client, { ...spec, schema }, { number, loose }, context.random)
    const [row] = await client.query(`SELECT 1 FROM ${tableSql(spec.collection)} LIMIT 1`)
    const checkpoint = await readCheckpoint(client, spec)
    const target: Target = {
      checkpoint,
      generation,
      empty: row === undefined,
      ...(takesAsIs(spec, schema) ? { encoding: copyEncoding } : {}),
    }
    return [{ spec, generation, writer }, target]
  } catch (error) {
    await client.rollback()
    throw error
  }
}

/** Whether the columns have the very types of the source: then COPY text needs no decoding on its way. */
function takesAsIs(spec: TargetSpec, resolved: Schema): boolean {
  return (
    !spec.adopt &&
    spec.schema.system === 'postgres' &&
    spec.schema.fields.every((field, at) => field.native === resolved.fields[at]?.native)
  )
}

async function openTransaction(client: Client, claims: ReadonlyMap<SyncId, Claim>): Promise<SinkTransaction> {
  const claimOf = (sync: SyncId): Claim => {
    const claim = claims.get(sync)
    if (claim === undefined) throw new SyncError('LEASE_LOST', `sync ${sync} has not claimed its target`)
    return claim
  }
  await beginFenced(client, [...claims.values()])
  for (const { writer } of claims.values()) writer.begin()
  return {
    put: (sync, rows, options) => claimOf(sync).writer.put(rows, options.fresh),
    putEncoded: (sync, encoded) => claimOf(sync).writer.putEncoded(encoded),
    flush: (sync) => claimOf(sync).writer.flush(),
    putTogether: (sync, rows) => claimOf(sync).writer.putTogether(rows),
    delete: (sync, keys) => claimOf(sync).writer.delete(keys),
    reject: (sync, rejected, settled) => replaceRejections(client, claimOf(sync).spec, rejected, settled),
    checkpoint: (sync, checkpoint) => {
      const { spec, generation } = claimOf(sync)
      return storeCheckpoint(client, { fence: spec, generation }, checkpoint)
    },
    commit: async ({ durable } = { durable: true }) => {
      // Rows and checkpoint are lost together or not at all, so only a run's last commit has to wait for the disk.
      await client.commit(durable ? '' : 'SET LOCAL synchronous_commit = off')
    },
    rollback: async () => {
      for (const { writer } of claims.values()) await writer.abandon()
      await client.rollback()
    },
  }
}

/** A session of its own: the sink's is busy writing while rows are read. */
async function viewTarget(
  config: PostgresConfig,
  { signal }: Context,
  spec: TargetSpec,
  rows?: 'written',
): Promise<View> {
  const client = await connect(config, signal)
  try {
    await client.begin('snapshot')
    const schema = await storedTypes(client, spec)
    return openView(client, await targetRelation(client, { ...spec, schema }, rows), {
      cursor: null,
      dispose: async () => client[Symbol.asyncDispose](),
    })
  } catch (error) {
    await client[Symbol.asyncDispose]()
    throw error
  }
}

/** The live rows of this sync in its target table. */
async function targetRelation(client: Client, spec: TargetSpec, rows?: 'written'): Promise<Relation> {
  const table = tableSql(spec.collection)
  const rowsTable = rowsTableSql(spec.collection)
  const kept = keptTableSql(spec.collection)
  const conditions: string[] = []
  const loose = (await findTable(client, spec.collection))?.loose ?? []
  // The next run adds the column or makes the table, when marking or adopting is new to the target.
  const [there] = await client.query(
    `SELECT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2 AND NOT attisdropped), to_regclass($3) IS NOT NULL, to_regclass($4) IS NOT NULL`,
    [table, deletedField, rowsTable, kept],
  )
  if (!spec.adopt && spec.deletes === 'keep' && there?.[2] === 't') {
    const [any] = await client.query(`SELECT 1 FROM ${kept} LIMIT 1`)
    if (any !== undefined) conditions.push(`NOT EXISTS (${entrySql(kept, table, spec.schema.key, loose)})`)
  }
  if (spec.deletes === 'mark' && there?.[0] === 't') conditions.push(`${quote(deletedField)} IS NULL`)
  if (spec.adopt && there?.[1] === 't') {
    const written = rows === 'written' ? ' AND listed._written' : ''
    conditions.push(`EXISTS (${entrySql(rowsTable, table, spec.schema.key, loose)}${written})`)
  }
  const { fields } = spec.schema
  return {
    from: table,
    where: conditions.length === 0 ? null : conditions.join(' AND '),
    fields,
    key: spec.schema.key.flatMap((name) => fields.filter((field) => field.name === name)),
    indexed: !spec.adopt,
    loose,
  }
}

async function reset(
  client: Client,
  spec: Pick<TargetSpec, 'sync' | 'project' | 'collection'>,
  drop: boolean,
): Promise<void> {
  if (!(await migrated(client))) return
  await client.begin('write')
  try {
    await resetTarget(client, spec, targetTable(spec.collection), drop)
    await client.commit()
  } catch (error) {
    await client.rollback()
    throw error
  }
}
