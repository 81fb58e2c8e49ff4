/** The fence of a target: whoever took it last writes, nobody before. */
import { createHash } from 'node:crypto'
import { SyncError } from '../../core/error.ts'
import type { Context, TargetSpec } from '../connector.ts'
import { generationOf, leaseLost, raiseGeneration } from '../sql/fence.ts'
import type { Client } from './client.ts'
import { quoteText } from './copy.ts'

/** What a fence is about: its generation stands in the row of this project and sync. */
export type Fence = Pick<TargetSpec, 'project' | 'sync' | 'collection'>

/** How long a claim waits for a transaction of the worker before it, which may only be slow. */
const PATIENCE = '2s'

/**
 * Takes the fence under a new generation, or checks one that is held: it is raised with what changes under it, so that a
 * claim that fails leaves the run what it held. A frozen worker that holds the fence in an open transaction is ended:
 * time-outs did not free it when tried.
 */
export async function takeFence(client: Client, spec: Fence, held: number | null, context: Context): Promise<number> {
  // Without waiting for its lock, which a successor may hold: a worker that lost its lease must not end the one that has it.
  if (held !== null && ((await generationOf(client, spec)) ?? 0) !== held) throw leaseLost(spec)
  try {
    return await enterFence(client, spec, held)
  } catch (error) {
    if (!(error instanceof SyncError) || error.code !== 'DATABASE_LOCKED') throw error
    const ended = await endHolder(client, spec, held)
    context.log(`sync ${spec.sync}: ended ${ended} session(s) of a worker that lost its lease`)
    return await enterFence(client, spec, held)
  }
}

async function enterFence(client: Client, spec: Fence, held: number | null): Promise<number> {
  const statement = held === null || held === 0 ? takeSql(spec, held === 0) : keepSql(spec, held)
  const [row] = await client.begin('write', `SET LOCAL lock_timeout TO '${PATIENCE}'; ${lockSql(spec)}; ${statement}`)
  if (row !== undefined) {
    await client.commit()
    return Number(row[0])
  }
  await client.rollback()
  throw leaseLost(spec)
}

/**
 * The session is found by the lock that its transaction holds, not by a number that was noted before: behind a pooler each
 * transaction may have another session of the server. Returns how many were ended.
 */
async function endHolder(client: Client, spec: Fence, held: number | null): Promise<number> {
  const key = BigInt.asUintN(64, lockKey(spec))
  const mine =
    held === null
      ? ''
      : ` AND EXISTS (SELECT 1 FROM _syncline_checkpoint WHERE ${isFence(spec)} AND generation = ${held})`
  const ended = await client.query(
    `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND classid = ${key >> 32n} AND objid = ${key & 0xffff_ffffn}${mine}`,
  )
  return ended.length
}

/** What the same run asked for before, on a session that it lost, is void from here on. In a transaction. */
export async function raiseFence(client: Client, spec: Fence, held: number): Promise<number> {
  const raised = await raiseGeneration(client, spec, held)
  if (raised === null) throw leaseLost(spec)
  return raised
}

/**
 * Begins a transaction that holds the fences from its start, so that a successor can find and end this session if it
 * freezes. One message to the server, because there is a transaction per batch.
 */
export async function beginFenced(
  client: Client,
  held: readonly { readonly spec: Fence; readonly generation: number }[],
  first = '',
): Promise<void> {
  const locks = held.map(({ spec }) => lockSql(spec)).sort()
  const rows = held.map(({ spec, generation }) => `(${isFence(spec)} AND generation = ${generation})`)
  const check = `SELECT project, sync FROM _syncline_checkpoint WHERE ${rows.join(' OR ') || 'false'} FOR UPDATE`
  const found = await client.begin('write', [...(first === '' ? [] : [first]), ...locks, check].join('; '))
  const lost = held.find(({ spec }) => !found.some(([name, sync]) => name === spec.project && sync === spec.sync))
  if (lost === undefined) return
  await client.rollback()
  throw leaseLost(lost.spec)
}

/** `fresh`: only where nobody has it yet. */
function takeSql(spec: Fence, fresh: boolean): string {
  const again = 'UPDATE SET generation = fence.generation + 1, collection = excluded.collection, updated_at = now()'
  return `INSERT INTO _syncline_checkpoint AS fence (project, sync, collection, generation)
    VALUES (${quoteText(spec.project)}, ${quoteText(spec.sync)}, ${quoteText(spec.collection)}, 1)
    ON CONFLICT (project, sync) DO ${fresh ? 'NOTHING' : again}
    RETURNING generation`
}

function keepSql(spec: Fence, held: number): string {
  return `UPDATE _syncline_checkpoint SET collection = ${quoteText(spec.collection)}, updated_at = now()
    WHERE ${isFence(spec)} AND generation = ${held} RETURNING generation`
}

function isFence({ project, sync }: Fence): string {
  return `project = ${quoteText(project)} AND sync = ${quoteText(sync)}`
}

function lockSql(spec: Fence): string {
  return `SELECT pg_advisory_xact_lock(${lockKey(spec)})`
}

/** The same for every process, and for no other fence. */
function lockKey({ project, sync }: Fence): bigint {
  return createHash('sha256')
    .update(JSON.stringify(['syncline fence', project, sync]))
    .digest()
    .readBigInt64BE()
}
