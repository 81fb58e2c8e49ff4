/**
 * The end of a mirror run: rejected rows are tried again, then deletions are found. Once all puts are applied, the
 * target's keys are a superset of the source's, so EQUAL COUNTS MEAN EQUAL KEYS: only unequal counts cost a sweep.
 *
 * A sweep may find rows that are missing; they are put, and another round looks again. Each round has to come closer:
 * what was put and is missing again, and what was deleted and is still there, is a rejected row (hazard 30).
 */
import type { Chunk, Range, View } from '../../connectors/connector.ts'
import { everything, isHeldByReference, mayGoInLater, notKept } from '../../connectors/connector.ts'
import { compareRows } from '../../core/diff.ts'
import { SyncError } from '../../core/error.ts'
import { holds } from '../../core/guard.ts'
import { isWhole, keyText } from '../../core/key-text.ts'
import { keyOf } from '../../core/mapping.ts'
import type { Settlement } from '../../core/outcome.ts'
import { cutRanges, differingRanges } from '../../core/range.ts'
import type { Rejection } from '../../core/sync.ts'
import type { Key, Row, Value } from '../../core/value.ts'
import type { Tally } from '../observe/run-counts.ts'
import type { Project } from '../project.ts'
import type { Batch } from './batch.ts'
import { rowsOf } from './comparison.ts'
import type { Sides } from './open.ts'

export interface Ending {
  readonly sides: Sides
  readonly batch: Batch
  /** The source at the instant up to which it was read. */
  readonly source: View
  /** Rows the target held before this run. Null: its rows have to be counted now. */
  readonly held: number | null
  /** What the source counts already. */
  readonly ahead: RangeCounts | null
  /** Keys the source reported as deleted. */
  readonly hints: readonly Key[]
  readonly project: Project
  readonly tally: Tally
}

/** Bounds that cut the keys, and the rows of the source in the ranges between them. */
interface RangeCounts {
  readonly bounds: readonly Value[]
  readonly left: Promise<readonly number[]>
}

/** Missing rows put in one round; when there are more, another round finds them. */
const MAX_MISSING = 50_000

export async function settle(ending: Ending): Promise<Settlement> {
  const { batch, source, tally } = ending
  await retryRejected(ending)
  await retryRefused(ending)
  tally.setRejected(batch.rejected.length)
  // Both sides count at the same time.
  const counting = source.count()
  counting.catch(() => {})
  // A deletion that the source reported may be hidden by one that somebody made in the target: then the counts are equal.
  const silent = batch.rejected.length === 0 && ending.hints.length === 0
  if (silent && ending.held !== null && ending.held + batch.inserted === (await counting))
    return { status: 'succeeded' }
  let last: LastRound = { put: new Set(), deficit: Number.POSITIVE_INFINITY }
  for (let round = ending; ; round = { ...ending, held: null, hints: [] }) {
    const result = await settleRound(round, counting)
    if (result.status === 'held') return result
    await batch.refuse([...result.referenced, ...result.refused, ...result.undeleted.map(notDeleted)])
    // Deletions may have made room, and rows that were put may be referred to. Without either, the same would be refused again.
    if (result.deletes > 0 || last.put.size > 0) await retryRefused(ending)
    if (result.missing.length > 0) last = await putMissing(ending, result, last)
    tally.setRejected(batch.rejected.length)
    if (result.missing.length === 0)
      return { status: 'succeeded', referenced: batch.rejected.filter(isHeldByReference).length }
  }
}

/**
 * To be called before the last rows are committed: where a sweep is to be expected, the source begins to count its ranges,
 * so that it works while the target writes to its disk. Measured on a million rows, 1 % changed and 0.1 % deleted, with
 * other work on the machine: a run of 1.15 s takes 1.01 s.
 */
export async function countsAhead(ending: Omit<Ending, 'ahead'>): Promise<RangeCounts | null> {
  const { sides, batch, source, held, hints } = ending
  if (held === null || hints.length > 0 || batch.rejected.length > 0) return null
  const targetRows = held + batch.inserted
  if (targetRows <= (await source.count())) return null
  await using target = await sides.sink.view(sides.spec)
  return await countRanges(sides, source, target, targetRows)
}

type Round =
  | {
      readonly status: 'succeeded'
      readonly deletes: number
      /** Keys that only the source has, at most MAX_MISSING. */
      readonly missing: readonly Key[]
      /** How many rows the target lacks. */
      readonly deficit: number
      /** Keys that only the target has, and had after it was asked to delete them. */
      readonly undeleted: readonly Key[]
      /** Deletions that a foreign key stands in the way of. */
      readonly referenced: readonly Rejection[]
      /** Rows that the source has and can't give, and that were not known to be so. */
      readonly refused: readonly Rejection[]
    }
  | { readonly status: 'held'; readonly deletes: number }

interface LastRound {
  /** Keys as text. */
  readonly put: ReadonlySet<string>
  readonly deficit: number
}

async function settleRound(ending: Ending, counting: Promise<number>): Promise<Round> {
  const { sides, batch, held, project, tally } = ending
  await using target = await sides.sink.view(sides.spec)
  const targetRows = held === null ? await target.count() : held + batch.inserted
  const sourceRows = await counting
  const lacking = await absent(batch, target, sides)
  const expected = sourceRows - lacking
  const keeps = sides.sync.deletes === 'keep'
  const settled = {
    status: 'succeeded',
    deletes: 0,
    missing: [],
    deficit: 0,
    undeleted: [],
    referenced: [],
    refused: [],
  } as const
  if (targetRows === expected && ending.hints.length === 0) return settled
  tally.enter('sweep', null)
  const deficit = expected - targetRows
  const released = await project.store.runs.released(sides.sync.id)
  const transaction = await sides.sink.begin()
  try {
    let deletes = 0
    let referenced: readonly Rejection[] = []
    const refused: Rejection[] = []
    const doubtful: Key[] = []
    const drop = async (keys: readonly Key[]) => {
      if (keys.length === 0) return
      if (deletes === 0 && !keeps) tally.applying()
      const { deleted, rejected } = await transaction.delete(sides.spec.sync, keys)
      deletes += deleted
      referenced = [...referenced, ...rejected]
      if (deleted + rejected.length < keys.length && doubtful.length < MAX_MISSING) doubtful.push(...keys)
    }
    await drop(await gone(ending))
    const missing =
      targetRows - deletes === expected
        ? []
        : await sweep(ending, target, { targetRows, lacking }, drop, (rows) => void refused.push(...rows))
    // Rows that refer to each other go in the order that their references ask for: as long as some go, others may.
    for (let before = Number.POSITIVE_INFINITY; referenced.length > 0 && referenced.length < before; ) {
      const keys = referenced.map(({ key }) => key).reverse()
      before = keys.length
      referenced = []
      await drop(keys)
    }
    if (!keeps && holds(sides.sync.guard, { deletes, targetRows, sourceRows, released })) {
      await transaction.rollback()
      return { status: 'held', deletes }
    }
    tally.check()
    await transaction.checkpoint(sides.spec.sync, null)
    await transaction.commit()
    // What is kept is no deletion: the rows stay, and are only no longer this sync's.
    tally.add({ deleted: keeps ? 0 : deletes })
    if (deletes > 0 && !keeps) tally.applied()
    const undeleted = await undeletedKeys(doubtful, referenced, sides)
    return { status: 'succeeded', deletes, missing, deficit: deficit + deletes, undeleted, referenced, refused }
  } catch (error) {
    await transaction.rollback().catch(() => {})
    throw error
  }
}

/** `lacking`: how many rejected rows the target lacks. Calls `drop` with keys that only the target has, and `refuse` with rows that the source has and can't give; returns keys that only the source has, at most MAX_MISSING. */
async function sweep(
  { sides, batch, source, ahead, project }: Ending,
  target: View,
  { targetRows, lacking }: { readonly targetRows: number; readonly lacking: number },
  drop: (keys: readonly Key[]) => Promise<void>,
  refuse: (rejections: readonly Rejection[]) => void,
): Promise<Key[]> {
  const { mapping } = sides
  const rejected = new Set(batch.rejected.map(({ key }) => keyText(key)))
  const missing: Key[] = []
  const keyAt = mapping.keyTypes.map((_type, at) => at)
  // Within a range, a rejected row that the target lacks may stand for one that the source deleted: the counts are equal.
  const counts = lacking > 0 ? null : (ahead ?? (await countRanges(sides, source, target, targetRows)))
  const ranges = await rangesToSweep(counts, target)
  const stream = compareRows(
    rowsOf(source.scan(ranges, mapping.sourceKey), (refused) => {
      const news = refused.filter(({ key }) => isWhole(key) && !rejected.has(keyText(key)))
      for (const { key } of news) rejected.add(keyText(key))
      refuse(news)
    }),
    rowsOf(target.scan(ranges, mapping.schema.key)),
    { keyAt, keyTypes: mapping.keyTypes, differs: () => false },
  )
  for await (const found of stream) {
    if (project.context.signal.aborted) throw interrupted(sides)
    const settleable = (rows: readonly Row[]) => keysOf(sides, rows).filter((key) => !rejected.has(keyText(key)))
    await drop(settleable(found.extra))
    missing.push(...settleable(found.missing).slice(0, MAX_MISSING - missing.length))
  }
  return missing
}

/** Ranges whose counts differ. Where the source has more rows than the target, the superset rule does not hold: look everywhere. */
async function rangesToSweep(counts: RangeCounts | null, target: View): Promise<readonly Range[]> {
  if (counts === null) return everything
  const { bounds } = counts
  const [left, right] = await Promise.all([counts.left, target.summarize(bounds)])
  return left.some((rows, at) => rows > (right[at] ?? 0)) ? everything : differingRanges(bounds, left, right)
}

/** The source counts its ranges, or has begun to. Null: its keys can't be cut. */
async function countRanges(
  { mapping }: Sides,
  source: View,
  target: View,
  targetRows: number,
): Promise<RangeCounts | null> {
  const type = mapping.keyTypes[0] ?? 'text'
  const extents = [await source.extent(), await target.extent()].filter((extent) => extent !== null)
  const values = extents.flat().filter((value): value is Exclude<Value, null> => value !== null)
  if (values.length < 4) return null
  const low = values.reduce((a, b) => (b < a ? b : a))
  const high = values.reduce((a, b) => (b > a ? b : a))
  const bounds = cutRanges(type, low, high, targetRows)
  if (bounds.length === 0) return null
  const left = source.summarize(bounds)
  left.catch(() => {})
  return { bounds, left }
}

/** Of the keys the source reported as deleted, those that are not there any more. */
async function gone({ hints, source, sides }: Ending): Promise<readonly Key[]> {
  if (hints.length === 0) return []
  const there = await source.fetch(hints, sides.mapping.sourceKey)
  const found = new Set([...keysOf(sides, there.rows), ...there.rejects.map(({ key }) => key)].map(keyText))
  return hints.filter((key) => !found.has(keyText(key)))
}

/** Rejected rows that the target does not hold in an older version either. */
async function absent(batch: Batch, target: View, { spec }: Sides): Promise<number> {
  const keys = batch.rejected.map(({ key }) => key)
  if (keys.length === 0) return 0
  const whole = keys.filter(isWhole)
  const held = await target.fetch(whole, spec.schema.key)
  return keys.length - held.rows.length
}

async function retryRejected({ sides, batch, source }: Ending): Promise<void> {
  const keys = batch.unseen.map(({ key }) => key)
  if (keys.length === 0) return
  const whole = keys.filter(isWhole)
  const chunk = await source.fetch(whole, sides.mapping.selection.fields)
  await batch.put(chunk.rows, chunk.rejects, chunk.bytes, false)
  await batch.settle(keys)
  await batch.commit(null)
}

/**
 * Rows that another row stood in the way of are tried again as long as some go in, in turns from either end: each may wait for its
 * neighbour. What is left then may be rows that wait for each other (hazard 35).
 */
async function retryRefused(ending: Ending): Promise<void> {
  const { batch, source } = ending
  const waiting = () => batch.rejected.filter(mayGoInLater).map(({ key }) => key)
  const again = async (keys: readonly Key[], together: boolean) => {
    const size = together ? TOGETHER : RETRIED_AT_ONCE
    for (let start = 0; start < keys.length; start += size) {
      if (ending.project.context.signal.aborted) throw interrupted(ending.sides)
      const part = keys.slice(start, start + size)
      await batch.putAgain(part, await fetchInOrder(ending, source, part), together)
    }
  }
  for (let turn = 0, before = Number.POSITIVE_INFINITY; ; turn++) {
    const keys = waiting()
    if (keys.length === 0) return
    if (keys.length >= before) break
    before = keys.length
    await again(turn % 2 === 0 ? keys : keys.toReversed(), false)
  }
  await again(
    batch.rejected.filter(({ code }) => code === 'VALUE_TAKEN').map(({ key }) => key),
    true,
  )
}

/** Refused rows that are tried in one transaction: who stops the run waits for no more than these. */
const RETRIED_AT_ONCE = 500

/** … where they may stand in each other's way. */
const TOGETHER = 10_000

async function fetchInOrder({ sides: { mapping } }: Ending, source: View, keys: readonly Key[]): Promise<Chunk> {
  const place = new Map(keys.map((key, at) => [keyText(key), at]))
  const chunk = await source.fetch(keys, mapping.selection.fields)
  const placeOf = (row: Row) => place.get(keyText(keyOf(row, mapping.keyAtSource, mapping.keyTypes))) ?? 0
  return { ...chunk, rows: chunk.rows.toSorted((a, b) => placeOf(a) - placeOf(b)) }
}

/** Of keys that the target was asked to delete, those that it holds all the same. */
async function undeletedKeys(
  keys: readonly Key[],
  referenced: readonly Rejection[],
  { sink, spec, mapping }: Sides,
): Promise<readonly Key[]> {
  if (keys.length === 0) return []
  const known = new Set(referenced.map(({ key }) => keyText(key)))
  await using target = await sink.view(spec, 'written')
  const { rows } = await target.fetch(keys, spec.schema.key)
  return keysOf({ mapping }, rows).filter((key) => !known.has(keyText(key)))
}

/** Of rows that are read as their key alone. */
function keysOf({ mapping: { keyTypes } }: Pick<Sides, 'mapping'>, rows: readonly Row[]): readonly Key[] {
  const at = keyTypes.map((_type, part) => part)
  return rows.map((row) => keyOf(row, at, keyTypes))
}

function notDeleted(key: Key): Rejection {
  return { key, code: 'ROW_NOT_DELETED', message: 'the table was asked to delete the row and kept it' }
}

/** Puts what a round found missing, but for what the last round put already: the table does not keep it. */
async function putMissing(
  { sides, batch, source }: Ending,
  { missing, deficit }: { readonly missing: readonly Key[]; readonly deficit: number },
  last: LastRound,
): Promise<LastRound> {
  // Where a round came no closer, rows push each other out, in whatever order.
  const futile = (key: Key) => deficit >= last.deficit || last.put.has(keyText(key))
  await batch.refuse(missing.filter(futile).map(notKept))
  const keys = missing.filter((key) => !futile(key))
  for (let start = 0; start < keys.length; start += 1000) {
    const chunk = await source.fetch(keys.slice(start, start + 1000), sides.mapping.selection.fields)
    await batch.put(chunk.rows, chunk.rejects, chunk.bytes, false)
    await batch.commitIfDue(null)
  }
  await batch.commit(null)
  return { put: new Set(keys.map(keyText)), deficit }
}

function interrupted({ sync }: Sides): SyncError {
  return new SyncError('INTERRUPTED', `sync ${sync.id} was interrupted; its deletions were not applied yet`, {
    hint: 'Run again: it goes on from the last checkpoint.',
  })
}
