/** A Postgres database as a transactional target. */
import { SyncError } from '../../core/error.ts'
import { keyText, parseKeyText } from '../../core/key-text.ts'
import { type Schema, type SchemaChange, withTheirs } from '../../core/schema.ts'
import type { Rejection } from '../../core/sync.ts'
import type { SyncId } from '../../core/sync-id.ts'
import type { Key } from '../../core/value.ts'
import type { Checkpoint, Context, Sink, SinkTransaction, Target, TargetSpec, TargetState, View } from '../connector.ts'
import { refuseBeyondLimits } from '../limits.ts'
import { quote } from '../sql.ts'
import { findTable, nameParts, tableSql } from './catalog.ts'
import { type Client, connect } from './client.ts'
import type { PostgresConfig } from './config.ts'
import { beginFenced, leaseLost, raiseFence, takeFence } from './fence.ts'
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
  ownerOf,
  parseSchema,
  rowsTableSql,
  storedTypes,
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
  const known = await migrated(client)
  const [row] = known
    ? await client.query('SELECT project, sync, schema, orphans, adopted FROM _syncline_collection WHERE name = $1', [
        spec.collection,
      ])
    : []
  if (row === undefined)
    return {
      schema: adoptable(found, spec.schema),
      orphans: found.schema.fields.map((field) => field.name),
      owner: null,
      checkpoint: null,
    }
  const held = { schema: parseSchema(String(row[2])), orphans: JSON.parse(String(row[3])) as string[] }
  return {
    ...(row[4] === 't' ? withTheirs(held, adoptable(found, spec.schema)) : held),
    owner: { project: String(row[0]), sync: String(row[1]) },
    adopted: row[4] === 't',
    checkpoint: await readCheckpoint(client, spec),
  }
}

async function readCheckpoint(client: Client, spec: TargetSpec): Promise<Checkpoint | null> {
  const [row] = await client.query(
    'SELECT cursor, fingerprint FROM _syncline_checkpoint WHERE project = $1 AND sync = $2',
    [spec.project, spec.sync],
  )
  return row === undefined || row[1] === null || row[1] === undefined
    ? null
    : { cursor: row[0] ?? null, fingerprint: row[1] }
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
    if (changes.some((change) => change.kind === 'create')) await forgetTable(client, spec)
    await applyChanges(client, spec, changes)
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

/** The table is made anew, so what was remembered of one that somebody dropped, above all how far it had read, is void. */
async function forgetTable(client: Client, spec: TargetSpec): Promise<void> {
  await client.query(
    'UPDATE _syncline_checkpoint SET cursor = NULL, fingerprint = NULL WHERE project = $1 AND sync = $2',
    [spec.project, spec.sync],
  )
  await client.query('DELETE FROM _syncline_collection WHERE name = $1', [spec.collection])
  await client.query(
    `DROP TABLE IF EXISTS ${rowsTableSql(spec.collection)}; DROP TABLE IF EXISTS ${keptTableSql(spec.collection)}`,
  )
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
    reject: (sync, rejected, settled) => writeRejections(client, claimOf(sync).spec, rejected, settled),
    checkpoint: (sync, checkpoint) => storeCheckpoint(client, claimOf(sync), checkpoint),
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

async function storeCheckpoint(
  client: Client,
  { spec, generation }: Claim,
  checkpoint: Checkpoint | null,
): Promise<void> {
  const sets = checkpoint === null ? 'updated_at = now()' : 'updated_at = now(), cursor = $4, fingerprint = $5'
  const values = [
    spec.project,
    spec.sync,
    generation,
    ...(checkpoint === null ? [] : [checkpoint.cursor, checkpoint.fingerprint]),
  ]
  const updated = await client.execute(
    `UPDATE _syncline_checkpoint SET ${sets} WHERE project = $1 AND sync = $2 AND generation = $3`,
    values,
  )
  if (updated !== 1) throw leaseLost(spec)
}

async function writeRejections(
  client: Client,
  spec: TargetSpec,
  rejected: readonly Rejection[],
  settled: readonly Key[],
): Promise<void> {
  for (const key of settled)
    await client.query('DELETE FROM _syncline_rejected WHERE project = $1 AND sync = $2 AND key = $3', [
      spec.project,
      spec.sync,
      keyText(key),
    ])
  for (const { key, code, message } of rejected) {
    await client.query(
      `INSERT INTO _syncline_rejected (project, sync, key, code, message) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (project, sync, key) DO UPDATE SET code = excluded.code, message = excluded.message, at = now()`,
      [spec.project, spec.sync, keyText(key), code, message],
    )
  }
}

async function readRejections(client: Client, spec: TargetSpec): Promise<Rejection[]> {
  // A target that no run has reached yet has no tables of ours.
  const [ours] = await client.query("SELECT to_regclass('_syncline_rejected') IS NOT NULL AS found", [])
  if (ours?.[0] !== 't') return []
  const rows = await client.query(
    'SELECT key, code, message FROM _syncline_rejected WHERE project = $1 AND sync = $2',
    [spec.project, spec.sync],
  )
  return rows.map(([key, code, message]) => ({
    key: parseKeyText(key ?? '[]'),
    code: code ?? '',
    message: message ?? '',
  }))
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
    await client.query(
      'UPDATE _syncline_checkpoint SET cursor = NULL, fingerprint = NULL, generation = generation + 1 WHERE project = $1 AND sync = $2',
      [spec.project, spec.sync],
    )
    if (drop) await dropTable(client, spec)
    await client.commit()
  } catch (error) {
    await client.rollback()
    throw error
  }
}

/** Only a table that this sync made is dropped; one that it adopted stays, and is given up. Another's is not touched. */
async function dropTable(client: Client, spec: Pick<TargetSpec, 'sync' | 'project' | 'collection'>): Promise<void> {
  await client.query('DELETE FROM _syncline_rejected WHERE project = $1 AND sync = $2', [spec.project, spec.sync])
  const owner = await ownerOf(client, spec.collection)
  if (owner?.project !== spec.project || owner.sync !== spec.sync) return
  await client.query('DELETE FROM _syncline_collection WHERE name = $1', [spec.collection])
  await client.query(
    `DROP TABLE IF EXISTS ${rowsTableSql(spec.collection)}; DROP TABLE IF EXISTS ${keptTableSql(spec.collection)}`,
  )
  if (!owner.adopted) await client.query(`DROP TABLE IF EXISTS ${tableSql(spec.collection)}`)
}
