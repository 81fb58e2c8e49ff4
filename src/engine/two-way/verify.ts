/**
 * Proof that both sides of a two-way sync are equal: every pair, by value over all fields, under the mapping. Listed
 * apart: open conflicts, rows and one-way edits that the sync leaves alone, and values that a system made its own of.
 */
import { everything } from '../../connectors/connector.ts'
import { baseOf } from '../../core/base.ts'
import { SyncError } from '../../core/error.ts'
import { isWhole, keyText, parseKeyText } from '../../core/key-text.ts'
import { keyOf } from '../../core/mapping.ts'
import { type BoundField, same } from '../../core/pairing.ts'
import { flows } from '../../core/reconcile.ts'
import type { PrintedKey } from '../../core/run.ts'
import type { Rejection } from '../../core/sync.ts'
import { otherSide, type SideName, sideNames, type TwoWaySync } from '../../core/two-way.ts'
import type { Row } from '../../core/value.ts'
import { byDifference, type Difference, differences, type Verification } from '../../core/verification.ts'
import type { StoredPair } from '../../store/pairs.ts'
import type { Project } from '../project.ts'
import { openPairSides } from './open.ts'
import { cellsOfPair, type PairSides } from './pair-sides.ts'
import { printSideKey } from './plan.ts'

export interface TwoWayVerification extends Verification {
  /** Pairs with a field that waits for a person. */
  readonly conflicts: number
  /** Rows that the sync leaves alone, and pairs with an edit against a one-way field's direction. */
  readonly ignored: number
  /** Pairs that differ as both sides last agreed: a system normalised the value, a field came to the mapping, a run was undone. */
  readonly settled: number
}

type Verdict = Difference | 'conflict' | 'ignored' | 'settled' | null

interface Suspect {
  readonly kind: Difference
  readonly side: SideName
  readonly key: string
}

const MAX_KEYS = 20
const MAX_RECHECKED = 100_000

export async function verifyTwoWay(
  sync: TwoWaySync,
  project: Project,
  onProgress: (compared: number, total: number | null) => void,
): Promise<TwoWayVerification> {
  await using sides = await openPairSides(sync, project)
  const counts = { left: 0, right: 0, conflict: 0, ignored: 0, settled: 0 }
  const suspects: Suspect[] = []
  /** No second look finds them. */
  const keyless: Suspect[] = []
  const unfound: Unfound = { left: new Set(), right: new Set() }
  let more = 0
  const note = (verdict: Verdict, side: SideName, key: string) => {
    if (verdict === null) return
    if (verdict === 'conflict' || verdict === 'ignored' || verdict === 'settled') counts[verdict]++
    else if (suspects.length < MAX_RECHECKED) suspects.push({ kind: verdict, side, key })
    else more++
  }
  const total = (await sides.collections.left.estimate?.()) ?? null
  for await (const found of rowsOf(sides, 'left', sides.pairing.left.fields)) {
    if (project.context.signal.aborted) throw interrupted(sides)
    counts.left += found.keys.length + found.keyless.length
    for (const key of found.keyless) keyless.push({ kind: 'unreadable', side: 'left', key })
    for (const [key, verdict] of await judge(sides, 'left', found.keys, found, unfound)) note(verdict, 'left', key)
    onProgress(counts.left, total)
  }
  // A pair has been judged from the left; from the right, only what the left does not have.
  for await (const found of rowsOf(sides, 'right', sides.pairing.right.schema.key)) {
    if (project.context.signal.aborted) throw interrupted(sides)
    counts.right += found.keys.length + found.keyless.length
    for (const key of found.keyless) keyless.push({ kind: 'unreadable', side: 'right', key })
    for (const [key, verdict] of await judgeRight(sides, found.keys, unfound)) note(verdict, 'right', key)
  }
  const found = byDifference<Suspect[]>(() => [])
  for (let start = 0; start < suspects.length; start += 1000) {
    for (const side of ['left', 'right'] as const) {
      const part = suspects.slice(start, start + 1000).filter((suspect) => suspect.side === side)
      const keys = part.map(({ key }) => key)
      const again =
        side === 'right'
          ? await judgeRight(sides, keys, unfound)
          : await judge(sides, 'left', keys, await fetchRows(sides, 'left', keys, sides.pairing.left.fields), unfound)
      for (const { key } of part) {
        const verdict = again.get(key) ?? null
        const kind = differences.find((one) => one === verdict)
        if (kind !== undefined) found[kind].push({ kind, side, key })
      }
    }
  }
  found.unreadable.push(...keyless)
  for (const side of sideNames)
    for (const key of await missedByLookUp(sides, side, unfound[side]))
      found.unreadable.push({ kind: 'unreadable', side, key })
  const print = (kind: Difference): PrintedKey[] =>
    found[kind].slice(0, MAX_KEYS).map(({ side, key }) => printSideKey(sides, side, key))
  return {
    sync: sync.id,
    equal: more === 0 && Object.values(found).every((list) => list.length === 0),
    left: counts.left,
    right: counts.right,
    missing: found.missing.length,
    extra: found.extra.length,
    different: found.different.length + more,
    unreadable: found.unreadable.length,
    keys: byDifference(print),
    repaired: 0,
    conflicts: counts.conflict,
    ignored: counts.ignored,
    settled: counts.settled,
  }
}

/** Keys that were met on a side, and that a look-up did not find there. */
type Unfound = Readonly<Record<SideName, Set<string>>>

interface Rows {
  readonly rows: ReadonlyMap<string, Row>
  /** Keys of rows that are there and can't be read. */
  readonly unreadable: ReadonlySet<string>
}

interface Scanned extends Rows {
  readonly keys: readonly string[]
  /** What is known of the keys of rows that have no whole one, or the same as others. */
  readonly keyless: readonly string[]
}

/** All rows of a side, in chunks. */
async function* rowsOf(sides: PairSides, name: SideName, fields: readonly string[]): AsyncIterable<Scanned> {
  const side = sides.pairing[name]
  const collection = sides.collections[name]
  if (collection.view === undefined)
    throw new SyncError('INTERNAL', `the connector of ${collection.schema.name} can't show a view`)
  await using view = await collection.view({ fields, where: null })
  const at = side.schema.key.map((part) => fields.indexOf(part))
  for await (const chunk of view.scan(everything, fields)) {
    const rows = new Map(chunk.rows.map((row) => [keyText(keyOf(row, at, side.keyTypes)), row]))
    const isFound = ({ key, code }: Rejection) => isWhole(key) && code !== 'KEY_DUPLICATE'
    const unreadable = new Set(chunk.rejects.filter(isFound).map(({ key }) => keyText(key)))
    const keyless = chunk.rejects.filter((one) => !isFound(one)).map(({ key }) => keyText(key))
    yield { keys: [...rows.keys(), ...unreadable], rows, unreadable, keyless }
  }
}

/** Right rows without a pair, and those whose left row is gone. */
async function judgeRight(sides: PairSides, keys: readonly string[], unfound: Unfound): Promise<Map<string, Verdict>> {
  const { memory, pairing } = sides
  const pairs = await memory.byKeys('right', keys)
  const left = await fetchRows(
    sides,
    'left',
    pairs.map((pair) => pair.left),
    pairing.left.schema.key,
  )
  const there = (key: string) => left.rows.has(key) || left.unreadable.has(key)
  const paired = new Set(pairs.filter((pair) => there(pair.left)).map((pair) => pair.right))
  const rest = keys.filter((key) => !paired.has(key))
  return await judge(sides, 'right', rest, await fetchRows(sides, 'right', rest, pairing.right.fields), unfound)
}

/** What is to be said of the rows with these keys; null: equal. */
async function judge(
  sides: PairSides,
  name: SideName,
  keys: readonly string[],
  own: Rows,
  unfound: Unfound,
): Promise<Map<string, Verdict>> {
  if (keys.length === 0) return new Map()
  const { memory, pairing, project, sync } = sides
  const other = otherSide(name)
  const verdicts = new Map<string, Verdict>()
  const pairs = new Map((await memory.byKeys(name, keys)).map((pair) => [pair[name], pair]))
  const lone = keys.filter((key) => !pairs.has(key))
  const known = new Map((await memory.unpaired(name, lone)).map((one) => [one.key, one]))
  const others = await fetchRows(
    sides,
    other,
    [...pairs.values()].map((pair) => pair[other]),
    pairing[other].fields,
  )
  const open = await project.store.pairs.conflicts.ofPairs(
    sync.id,
    [...pairs.values()].map(({ id }) => id),
  )
  const held = new Map<number, Set<string>>()
  for (const { pair, fields, kind } of open) {
    if (pair === null) continue
    const names = Object.entries(fields).flatMap(([field, { status }]) =>
      status === 'open' || status === 'decided' ? [field] : [],
    )
    held.set(pair, new Set([...(held.get(pair) ?? []), ...(kind === 'delete' ? ['*'] : names)]))
  }
  for (const key of keys) {
    const pair = pairs.get(key)
    const row = own.rows.get(key)
    // What can't be read is equal to nothing.
    if (own.unreadable.has(key) || (pair !== undefined && others.unreadable.has(pair[other]))) {
      verdicts.set(key, 'unreadable')
      continue
    }
    if (row === undefined) {
      unfound[name].add(key)
      continue
    }
    if (pair === undefined) {
      const state = known.get(key)?.state
      if (state === 'ambiguous') verdicts.set(key, 'conflict')
      else if (state === 'alone' || state === 'parted' || !flows(pairing.sync.direction, name))
        verdicts.set(key, 'ignored')
      else verdicts.set(key, name === 'left' ? 'missing' : 'extra')
      continue
    }
    const match = others.rows.get(pair[other])
    const names = held.get(pair.id) ?? new Set<string>()
    if (match === undefined)
      verdicts.set(
        key,
        names.has('*') ? 'conflict' : flows(sync.direction, name) ? (name === 'left' ? 'missing' : 'extra') : 'ignored',
      )
    else if (name === 'left') verdicts.set(key, await compare(sides, pair, row, match, names))
  }
  return verdicts
}

/** Of keys that a look-up did not find, those that are there all the same: most are gone since they were met. */
async function missedByLookUp(
  sides: PairSides,
  name: SideName,
  unfound: ReadonlySet<string>,
): Promise<readonly string[]> {
  if (unfound.size === 0) return []
  const there = new Set<string>()
  const { key: fields } = sides.pairing[name].schema
  for await (const { keys } of rowsOf(sides, name, fields)) for (const key of keys) if (unfound.has(key)) there.add(key)
  const found = await fetchRows(sides, name, [...there], fields)
  return [...there].filter((key) => !found.rows.has(key) && !found.unreadable.has(key))
}

async function compare(
  sides: PairSides,
  pair: StoredPair,
  left: Row,
  right: Row,
  held: ReadonlySet<string>,
): Promise<Verdict> {
  const { pairing, layout, types } = sides
  const base = baseOf(layout.mode, cellsOfPair(sides, pair), types)
  let verdict: Verdict = null
  for (const [at, field] of pairing.fields.entries()) {
    const [l, r] = [left[at] ?? null, right[at] ?? null]
    if (field.references === null ? same(field, l, r) : await refersSame(sides, at, l, r)) continue
    const agreed =
      (base.unchanged('left', at, l) !== false || ignoresEdits(field, 'left')) &&
      (base.unchanged('right', at, r) !== false || ignoresEdits(field, 'right'))
    if (held.has(field.name)) verdict = 'conflict'
    else if (!agreed) return 'different'
    else if (verdict !== 'conflict') verdict = field.direction === 'both' ? 'settled' : 'ignored'
  }
  return verdict
}

function ignoresEdits({ direction, edits }: BoundField, side: SideName): boolean {
  return edits === 'ignore' && !flows(direction, side)
}

async function refersSame(sides: PairSides, at: number, left: Row[number], right: Row[number]): Promise<boolean> {
  const field = sides.pairing.fields[at]
  if (left === null || right === null || field === undefined || field.references === null) return left === right
  const key = keyText(keyOf([left], [0], [field.left.type]))
  const found = await sides.project.store.pairs.counterparts(field.references, 'left', [key])
  return found.get(key) === keyText(keyOf([right], [0], [field.right.type]))
}

async function fetchRows(
  sides: PairSides,
  name: SideName,
  keys: readonly string[],
  fields: readonly string[],
): Promise<Rows> {
  if (keys.length === 0) return { rows: new Map(), unreadable: new Set() }
  const side = sides.pairing[name]
  const at = side.schema.key.map((part) => fields.indexOf(part))
  const chunk = await sides.collections[name].lookup.fetch(keys.map(parseKeyText), fields)
  return {
    rows: new Map(chunk.rows.map((row) => [keyText(keyOf(row, at, side.keyTypes)), row])),
    unreadable: new Set(chunk.rejects.map(({ key }) => keyText(key))),
  }
}

function interrupted({ sync }: PairSides): SyncError {
  return new SyncError('INTERRUPTED', `verify of ${sync.id} was interrupted`)
}
