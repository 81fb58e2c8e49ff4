/** A claimed target in the hands of the contract tests: one transaction, one put, what it holds. */
import assert from 'node:assert/strict'
import type {
  Checkpoint,
  Connection,
  PutResult,
  Sink,
  SinkTransaction,
  Target,
  TargetSpec,
} from '../connectors/connector.ts'
import { SyncError } from '../core/error.ts'
import { diffSchema } from '../core/schema.ts'
import type { Row } from '../core/value.ts'
import { type ConnectorHarness, type Shape, scanAll, schemaOf } from './connector-harness.ts'

/** The sync of all tests. */
export const SYNC = 'stock'

export const items: Shape = {
  name: 'items',
  fields: [
    { name: 'sku', type: 'text' },
    { name: 'amount', type: 'integer' },
    { name: 'note', type: 'text' },
  ],
  key: ['sku'],
}

/** A target of the shape, as a sync would want it. */
export function specOf(shape: Shape, over: Partial<TargetSpec> = {}): TargetSpec {
  return {
    sync: SYNC,
    project: 'project',
    collection: shape.name,
    schema: schemaOf(shape),
    adopt: false,
    deletes: 'propagate',
    ...over,
  }
}

export async function openSink(connection: Connection): Promise<Sink> {
  const sink = await connection.sink?.([SYNC])
  assert.ok(sink !== undefined)
  return sink
}

/** Brings the target to the spec and takes the fence; `held`: the generation that this run has claimed before. */
export async function claim(sink: Sink, spec: TargetSpec, held: number | null = null): Promise<Target> {
  const state = await sink.inspect(spec)
  return sink.claim(spec, diffSchema(state.schema, spec.schema, state.orphans), held)
}

/** One transaction with its checkpoint. */
export async function transact(
  sink: Sink,
  work: (transaction: SinkTransaction) => Promise<void>,
  checkpoint: Checkpoint | null = null,
): Promise<void> {
  const transaction = await sink.begin()
  try {
    await work(transaction)
    await transaction.checkpoint(SYNC, checkpoint)
    await transaction.commit()
  } catch (error) {
    await transaction.rollback()
    throw error
  }
}

/** What a put did, including what it only knows at the end. */
export async function put(transaction: SinkTransaction, rows: readonly Row[], fresh = false): Promise<PutResult> {
  const first = await transaction.put(SYNC, rows, { fresh })
  const late = await transaction.flush?.(SYNC)
  return {
    inserted: first.inserted + (late?.inserted ?? 0),
    updated: first.updated + (late?.updated ?? 0),
    unchanged: first.unchanged + (late?.unchanged ?? 0),
    rejected: [...first.rejected, ...(late?.rejected ?? [])],
  }
}

export async function held(sink: Sink, spec: TargetSpec): Promise<Row[]> {
  await using view = await sink.view(spec)
  return await scanAll(
    view,
    spec.schema.fields.map(({ name }) => name),
  )
}

export function isError(code: SyncError['code']): (error: unknown) => boolean {
  return (error) => error instanceof SyncError && error.code === code
}

/** Makes a test with a new sink of a new system. */
export type WithSink = (run: (given: { sink: Sink; system: ConnectorHarness }) => Promise<void>) => () => Promise<void>
