/** Proof that both sides are equal, by value over all mapped fields. */
import { everything, type View } from '../../connectors/connector.ts'
import { SyncError } from '../../core/error.ts'
import { holds } from '../../core/guard.ts'
import { isWhole, keyText } from '../../core/key-text.ts'
import { keyOf } from '../../core/mapping.ts'
import type { Counts } from '../../core/run.ts'
import type { Sync } from '../../core/sync.ts'
import { equal, type Key, type Row } from '../../core/value.ts'
import { byDifference, type Difference, differences, type Verification } from '../../core/verification.ts'
import type { Tally } from '../observe/run-counts.ts'
import type { Project } from '../project.ts'
import { compareSides, keepsExtra, keyOfRow, printKey, targetFields } from './comparison.ts'
import { openSides, refuseDrift, type Sides } from './open.ts'
import { asStored, rehearse } from './rehearsal.ts'
import { type Held, recordRepair } from './repair.ts'

export interface VerifyOptions {
  readonly repair: boolean
  /** Rows compared so far, and how many there are if that is known. */
  readonly onProgress: (compared: number, total: number | null) => void
  /** Differing keys of a kind kept for the second look; beyond it they are reported as the first look saw them. */
  readonly maxSuspects?: number
}

const MAX_KEYS = 20
const MAX_SUSPECTS = 100_000

interface Suspects {
  left: number
  right: number
  readonly keys: Record<Difference, Key[]>
  /** Keys that several rows of a side have, as text, and how many: a look-up may find one of them. */
  readonly duplicates: Map<string, number>
  /** Beyond `maxSuspects`. */
  readonly more: Record<Difference, number>
}

/** With `repair`, GUARD_HELD when the guard holds what it would delete: nothing is changed then, and the held run that says so can be released. */
export async function verifySync(sync: Sync, project: Project, options: VerifyOptions): Promise<Verification> {
  await using sides = await openSides(sync, project)
  refuseDrift(sides)
  const found = await findSuspects(sides, project, options, new Set())
  const { suspects, repaired } = options.repair
    ? await recordRepair(sync, project, (tally) => repairAll(sides, found, project, options, tally))
    : { suspects: found, repaired: 0 }
  const counts = byDifference((kind) => suspects.keys[kind].length + suspects.more[kind])
  const print = (kind: Difference) => suspects.keys[kind].slice(0, MAX_KEYS).map((key) => printKey(sides, key))
  return {
    sync: sync.id,
    equal: differences.every((kind) => counts[kind] === 0),
    left: suspects.left,
    right: suspects.right,
    ...counts,
    keys: byDifference(print),
    repaired,
  }
}

interface Repaired {
  readonly status: 'succeeded'
  /** What could not be mended. */
  readonly suspects: Suspects
  readonly repaired: number
}

/** Mends in rounds: what a comparison finds beyond the keys it keeps, the next one meets. */
async function repairAll(
  sides: Sides,
  found: Suspects,
  project: Project,
  options: VerifyOptions,
  tally: Tally,
): Promise<Repaired | Held> {
  const { guard, id } = sides.sync
  const released = await project.store.runs.released(id)
  const refused = byDifference<Key[]>(() => [])
  for (let suspects = found, here = sides; ; ) {
    // Of all rounds: the share is one of what the target had before the first.
    const deletes = tally.counts.deleted + suspects.keys.extra.length + suspects.more.extra
    if (holds(guard, { deletes, targetRows: found.right, sourceRows: suspects.left, released }))
      return { status: 'held', deletes }
    tally.add(await repair(here, suspects))
    // The table may be there only now, or have fields only now.
    here = { ...sides, changes: [], state: await sides.sink.inspect(sides.spec) }
    await lookAgain(here, suspects)
    for (const kind of differences) for (const key of suspects.keys[kind]) refused[kind].push(key)
    tally.setRejected(differences.reduce((sum, kind) => sum + refused[kind].length, 0))
    if (differences.every((kind) => suspects.more[kind] === 0)) {
      const { inserted, updated, deleted } = tally.counts
      await using target = await sides.sink.view(sides.spec)
      const right = await target.count()
      return {
        status: 'succeeded',
        suspects: { ...suspects, right, keys: refused },
        repaired: inserted + updated + deleted,
      }
    }
    const known = new Set(differences.flatMap((kind) => refused[kind].map(keyText)))
    suspects = await findSuspects(here, project, options, known)
  }
}

/** Looks twice, and leaves out keys that are known already. */
async function findSuspects(
  sides: Sides,
  project: Project,
  options: VerifyOptions,
  known: ReadonlySet<string>,
): Promise<Suspects> {
  const suspects = await compareOnce(sides, project, options, known)
  await lookAgain(sides, suspects)
  return suspects
}

async function compareOnce(
  sides: Sides,
  project: Project,
  options: VerifyOptions,
  known: ReadonlySet<string>,
): Promise<Suspects> {
  const suspects: Suspects = {
    left: 0,
    right: 0,
    keys: byDifference<Key[]>(() => []),
    duplicates: new Map(),
    more: byDifference(() => 0),
  }
  const { maxSuspects = MAX_SUSPECTS } = options
  const suspect = (kind: Difference, keys: readonly Key[]) => {
    for (const key of keys) {
      if (known.size > 0 && known.has(keyText(key))) continue
      if (suspects.keys[kind].length < maxSuspects) suspects.keys[kind].push(key)
      else suspects.more[kind]++
    }
  }
  await using source = await openSource(sides)
  await using target = sides.state.schema === null ? null : await sides.sink.view(sides.spec)
  const total = (await sides.source.estimate?.()) ?? null
  for await (const given of compareSides(sides, source, target)) {
    const found = await rehearse(sides, given)
    if (project.context.signal.aborted) throw new SyncError('INTERRUPTED', `verify of ${sides.sync.id} was interrupted`)
    suspects.left += found.same + found.missing.length + found.different.length + found.rejects.length
    suspects.right += found.same + found.extra.length + found.different.length + found.unreadable.length
    const keysOf = (rows: readonly Row[]) => rows.map((row) => keyOfRow(sides, row))
    suspect('missing', keysOf(found.missing))
    suspect('extra', keepsExtra(sides) ? [] : keysOf(found.extra))
    suspect('different', keysOf(found.different.map((pair) => pair.left)))
    const unreadable = [...found.rejects, ...found.unreadable]
    for (const id of unreadable.filter(({ code }) => code === 'KEY_DUPLICATE').map(({ key }) => keyText(key)))
      suspects.duplicates.set(id, (suspects.duplicates.get(id) ?? 0) + 1)
    suspect(
      'unreadable',
      unreadable.map(({ key }) => key),
    )
    options.onProgress(suspects.left, total)
  }
  return suspects
}

/** Reads the differing keys once more, so that writes between the two reads are not called differences. */
async function lookAgain(sides: Sides, suspects: Suspects): Promise<void> {
  const all = differences.flatMap((kind) => suspects.keys[kind].map((key) => ({ kind, key })))
  if (all.length === 0) return
  const { left, right, unreadable } = await fetchBoth(sides, whole(suspects, differences), {
    left: whole(suspects, ['missing', 'different', 'unreadable']),
    right: whole(suspects, ['extra', 'different']),
  })
  for (const kind of differences) suspects.keys[kind].length = 0
  const seen = new Set<string>()
  for (const { key } of all) {
    const id = keyText(key)
    if (seen.has(id)) continue
    seen.add(id)
    const broken =
      unreadable.left.has(id) ||
      suspects.duplicates.has(id) ||
      !isWhole(key) ||
      (unreadable.right.has(id) && !(keepsExtra(sides) && !left.has(id)))
    const kind = broken ? 'unreadable' : judge(sides, left.get(id), right.get(id))
    const rows = kind === 'unreadable' ? (suspects.duplicates.get(id) ?? 1) : 1
    if (kind !== null) for (let row = 0; row < rows; row++) suspects.keys[kind].push(key)
  }
}

function judge(sides: Sides, left: Row | undefined, right: Row | undefined): Difference | null {
  if (left === undefined) return right === undefined || keepsExtra(sides) ? null : 'extra'
  if (right === undefined) return 'missing'
  return sides.spec.schema.fields.every(({ type }, at) => equal(type, left[at] ?? null, right[at] ?? null))
    ? null
    : 'different'
}

function whole({ keys }: Suspects, kinds: readonly Difference[]): readonly Key[] {
  return kinds.flatMap((kind) => keys[kind].filter(isWhole))
}

/** `met`: keys that a side gave before. One that it still has, and does not find, is unreadable there: nobody knows what it holds. */
async function fetchBoth(
  sides: Sides,
  keys: readonly Key[],
  met: Readonly<Record<'left' | 'right', readonly Key[]>>,
): Promise<{
  left: Map<string, Row>
  right: Map<string, Row>
  unreadable: Readonly<Record<'left' | 'right', ReadonlySet<string>>>
}> {
  const { mapping, spec, sink, state } = sides
  // Target first: a row on its way is then missing or older at the target for sure, and a live writer's next run mends it.
  const right = new Map<string, Row>()
  const unreadable = { left: new Set<string>(), right: new Set<string>() }
  if (state.schema !== null) {
    await using target = await sink.view(spec)
    const { names, pad } = targetFields(sides)
    const chunk = await target.fetch(keys, names)
    for (const row of pad(chunk.rows)) right.set(keyText(keyOfRow(sides, row)), row)
    for (const { key } of chunk.rejects) unreadable.right.add(keyText(key))
    const unmet = met.right.filter((key) => !right.has(keyText(key)) && !unreadable.right.has(keyText(key)))
    for (const id of await missedByLookUp(target, unmet, mapping.schema.key, mapping.keyTypes)) unreadable.right.add(id)
  }
  await using source = await openSource(sides)
  const chunk = await source.fetch(keys, mapping.selection.fields)
  const mapped = mapping.map(chunk.rows)
  const wanted = await asStored(sides, mapped.rows)
  const left = new Map(wanted.map((row) => [keyText(keyOfRow(sides, row)), row]))
  for (const { key } of [...chunk.rejects, ...mapped.rejects]) unreadable.left.add(keyText(key))
  const unmet = met.left.filter((key) => !left.has(keyText(key)) && !unreadable.left.has(keyText(key)))
  for (const id of await missedByLookUp(source, unmet, mapping.sourceKey, mapping.keyTypes)) unreadable.left.add(id)
  return { left, right, unreadable }
}

/** Of keys that a look-up did not find, those that are among the rows all the same. */
async function missedByLookUp(
  view: View,
  keys: readonly Key[],
  names: readonly string[],
  types: Sides['mapping']['keyTypes'],
): Promise<readonly string[]> {
  if (keys.length === 0) return []
  const wanted = new Set(keys.map(keyText))
  const at = names.map((_name, part) => part)
  const there = new Set<string>()
  for await (const { rows, rejects } of view.scan(everything, names)) {
    for (const key of [...rows.map((row) => keyOf(row, at, types)), ...rejects.map((reject) => reject.key)]) {
      const id = keyText(key)
      if (wanted.has(id)) there.add(id)
    }
  }
  return [...there]
}

/** Writes what is missing or different and deletes what is extra, in one fenced transaction. */
async function repair(sides: Sides, suspects: Suspects): Promise<Pick<Counts, 'inserted' | 'updated' | 'deleted'>> {
  const { sink, spec } = sides
  await sink.claim(spec, sides.changes, null)
  // Of several rows with one key nobody knows which is meant: what the target holds of them stays.
  const isSingle = (key: Key) => !suspects.duplicates.has(keyText(key))
  const keys = whole(suspects, ['missing', 'different', 'unreadable']).filter(isSingle)
  const { left } = await fetchBoth(sides, keys, { left: [], right: [] })
  const transaction = await sink.begin()
  try {
    const put = await transaction.put(spec.sync, [...left.values()], { fresh: false })
    // What the target refuses stays different, and the next run tries it again.
    await transaction.reject(spec.sync, put.rejected, [])
    const { deleted } = await transaction.delete(spec.sync, suspects.keys.extra)
    await transaction.checkpoint(spec.sync, null)
    await transaction.commit()
    return { inserted: put.inserted, updated: put.updated, deleted }
  } catch (error) {
    await transaction.rollback().catch(() => {})
    throw error
  }
}

async function openSource({ source, mapping }: Sides) {
  if (source.view === undefined)
    throw new SyncError('INTERNAL', `the connector of ${source.schema.name} can't show a view`)
  return source.view(mapping.selection)
}
