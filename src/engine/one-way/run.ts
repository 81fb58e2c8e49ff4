/**
 * The mirror path: one way, into a table the sync owns in a transactional target. No bases, no items, no decisions:
 *
 *   read pages → map → put rows and checkpoint in one transaction → count both sides → sweep what is extra
 *
 * Three ways to read: `copy` (everything, into an empty target), `follow` (what may have changed since the cursor), and
 * `compare` (both sides in key order, when there is no cursor to trust).
 */
import type { Chunk, Cursor, Target } from '../../connectors/connector.ts'
import { everything } from '../../connectors/connector.ts'
import { compareRows, differsBySpelling } from '../../core/diff.ts'
import { SyncError } from '../../core/error.ts'
import { isWhole } from '../../core/key-text.ts'
import type { Settlement } from '../../core/outcome.ts'
import { describeChange, isDrift, type SchemaChange } from '../../core/schema.ts'
import type { Rejection, Sync } from '../../core/sync.ts'
import type { Key, Row } from '../../core/value.ts'
import type { Tally } from '../observe/run-counts.ts'
import type { Project } from '../project.ts'
import { Batch } from './batch.ts'
import { rowsOf } from './comparison.ts'
import { countsAhead, settle } from './deletions.ts'
import { openSides, refuseDrift, type Sides } from './open.ts'

/** How a run reads its source. */
export type Reading =
  | { readonly kind: 'copy' }
  | { readonly kind: 'follow'; readonly cursor: Cursor }
  | { readonly kind: 'compare'; readonly why: string }

/** One attempt of a run at its mirror. */
export interface Attempt {
  /** The generation of the target's fence that an earlier attempt claimed. */
  readonly held: number | null
  readonly onClaim: (generation: number) => void
  readonly onSchema: (changes: readonly SchemaChange[]) => void
}

/** Deleted keys a feed may name before a sweep is cheaper than remembering them. */
const MAX_DELETE_HINTS = 100_000

export async function mirror(sync: Sync, project: Project, tally: Tally, attempt: Attempt): Promise<Settlement> {
  await using sides = await openSides(sync, project)
  const drifted = sides.changes.some(isDrift)
  if (drifted) tally.steps.schema(sides.changes.map(describeChange), false)
  refuseDrift(sides)
  const target = await sides.sink.claim(sides.spec, sides.changes, attempt.held)
  attempt.onClaim(target.generation)
  if (sides.changes.length > 0) {
    attempt.onSchema(sides.changes)
    tally.steps.schema(sides.changes.map(describeChange), true)
  }
  const earlier = await sides.sink.rejections(sides.spec)
  const reading = chooseReading(sides, target, earlier)
  try {
    return await readBy(reading, sides, target, earlier, project, tally)
  } catch (error) {
    if (!(error instanceof SyncError) || error.code !== 'CURSOR_UNUSABLE' || reading.kind !== 'follow') throw error
    project.context.log(`sync ${sync.id}: ${error.message}; comparing in full`)
    return await compare(sides, target, earlier, project, tally)
  }
}

/** Decides how to read. A target that is not empty is only followed by the definition that filled it. */
export function chooseReading(
  sides: Sides,
  target: Pick<Target, 'checkpoint' | 'empty'>,
  earlier: readonly Rejection[],
): Reading {
  const { sync, source, changes, fingerprint } = sides
  const cursor = target.checkpoint?.cursor ?? null
  if (sync.mode === 'incremental' && source.feed === 'none') {
    throw new SyncError(
      'CURSOR_UNUSABLE',
      `sync ${sync.id} asks for mode 'incremental', but ${source.schema.name} can't be followed: ${source.feedReason}`,
      {
        hint: "Use mode 'auto', or choose a `cursor`.",
      },
    )
  }
  if (target.empty && (target.checkpoint === null || cursor === null)) return { kind: 'copy' }
  if (sync.mode === 'full') return { kind: 'compare', why: "mode is 'full'" }
  if (target.checkpoint === null || cursor === null)
    return { kind: 'compare', why: source.feedReason ?? 'the target has rows and no checkpoint' }
  if (target.checkpoint.fingerprint !== fingerprint)
    return { kind: 'compare', why: 'the definition of the sync changed' }
  if (changes.some((change) => change.kind === 'add' || change.kind === 'widen'))
    return { kind: 'compare', why: 'the schema changed' }
  if (source.feed === 'none') return { kind: 'compare', why: source.feedReason ?? 'the source has no feed' }
  if (earlier.some(({ key }) => !isWhole(key)))
    return { kind: 'compare', why: 'rejected rows without a key have to be met again' }
  return { kind: 'follow', cursor }
}

async function readBy(
  reading: Reading,
  sides: Sides,
  target: Target,
  earlier: readonly Rejection[],
  project: Project,
  tally: Tally,
): Promise<Settlement> {
  if (reading.kind === 'compare') return await compare(sides, target, earlier, project, tally)
  const { source, mapping } = sides
  const { signal } = project.context
  const copies = reading.kind === 'copy'
  tally.enter(reading.kind, copies ? ((await source.estimate?.()) ?? null) : null)
  await using batch = new Batch(sides, tally, signal, earlier)
  const hints: Key[] = []
  const encoded =
    copies && target.empty && mapping.passes && target.encoding !== undefined && target.encoding === source.encoding
  // An adopted table may give up one row for another: its rows are always counted, at the end.
  // So are those of one that keeps rows which the source deleted: they may come back.
  const counted = sides.spec.adopt || sides.sync.deletes === 'keep'
  let held = target.empty && !counted ? 0 : null
  for await (const page of source.read(copies ? null : reading.cursor, { ...mapping.selection, signal, encoded })) {
    // The source goes on reading meanwhile. Of an adopted table, rows count that were there and are only now found equal.
    if (held === null && !counted) held = await countTarget(sides)
    if (page.encoded !== undefined) await batch.putEncoded(page.encoded)
    if (page.puts.length > 0 || page.rejects.length > 0)
      await batch.put(page.puts, page.rejects, page.bytes, copies && target.empty && page.distinct)
    if (hints.length < MAX_DELETE_HINTS) hints.push(...page.deletes)
    if (page.view === undefined) {
      await batch.commitIfDue(page.cursor)
      continue
    }
    const moved = page.cursor !== target.checkpoint?.cursor || sides.fingerprint !== target.checkpoint.fingerprint
    const ending = { sides, batch, source: page.view, held, hints, project, tally }
    const ahead = copies ? null : await countsAhead(ending)
    await batch.commit(source.feed === 'none' ? null : moved ? page.cursor : null, { complete: moved })
    return await settle({ ...ending, ahead })
  }
  throw new SyncError('INTERNAL', `the connector of ${source.schema.name} ended a read without a view`)
}

async function countTarget({ sink, spec }: Sides): Promise<number> {
  await using view = await sink.view(spec)
  return await view.count()
}

/** Reads both sides in key order and writes what differs: rows that are equal cost nothing but the comparison. */
async function compare(
  sides: Sides,
  target: Target,
  earlier: readonly Rejection[],
  project: Project,
  tally: Tally,
): Promise<Settlement> {
  const { source, sink, spec, mapping } = sides
  if (source.view === undefined)
    throw new SyncError('INTERNAL', `the connector of ${source.schema.name} can't show a view`)
  await source.prepare?.()
  await using left = await source.view(mapping.selection)
  tally.enter('compare', await left.count())
  await using batch = new Batch(sides, tally, project.context.signal, earlier)
  const rejects: Rejection[] = []
  {
    await using right = await sink.view(spec)
    const fields = spec.schema.fields.map((field) => field.name)
    const types = spec.schema.fields.map((field) => field.type)
    const stream = compareRows(
      mapped(sides, left.scan(everything, mapping.selection.fields), rejects, tally),
      rowsOf(right.scan(everything, fields)),
      {
        keyAt: mapping.keyAtTarget,
        keyTypes: mapping.keyTypes,
        differs: differsBySpelling(types, mapping.keyAtTarget),
      },
    )
    for await (const found of stream) {
      const rows = [...found.missing, ...found.different.map((pair) => pair.left)]
      tally.add({ read: found.same + rows.length, unchanged: found.same })
      if (rows.length > 0 || rejects.length > 0) await batch.putMapped(rows, rejects.splice(0), false)
      await batch.commitIfDue(null)
    }
  }
  if (rejects.length > 0) await batch.putMapped([], rejects.splice(0), false)
  // Every row of the source has been met: what was rejected earlier and not again is held now, or gone.
  await batch.settle(batch.unseen.map(({ key }) => key))
  const moved =
    left.cursor !== (target.checkpoint?.cursor ?? null) || sides.fingerprint !== target.checkpoint?.fingerprint
  await batch.commit(moved ? left.cursor : null, { complete: moved })
  return await settle({ sides, batch, source: left, held: null, ahead: null, hints: [], project, tally })
}

async function* mapped(
  sides: Sides,
  chunks: AsyncIterable<Chunk>,
  rejects: Rejection[],
  tally: Tally,
): AsyncIterable<readonly Row[]> {
  for await (const chunk of chunks) {
    const result = sides.mapping.map(chunk.rows)
    rejects.push(...chunk.rejects, ...result.rejects)
    tally.add({ lossy: result.lossy })
    yield result.rows
  }
}
