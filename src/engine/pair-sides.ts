/** Both sides of a two-way sync, opened: collections, what is remembered of their pairs, and the fields between them. */
import type { Collection, Writer } from '../connectors/connector.ts'
import { cellsOf, decodeCells, encodeCells, hashCell, hashedCell, neverCell, unknownCell } from '../core/base.ts'
import { SyncError } from '../core/error.ts'
import { bindPairing, type Pairing, type PairSide } from '../core/pairing.ts'
import type { SideName, TwoWaySync } from '../core/two-way.ts'
import { sideNames } from '../core/two-way.ts'
import type { Row, Type } from '../core/value.ts'
import {
  anyFence,
  type Layout,
  type PairReader,
  type PairRun,
  type PairState,
  type StoredPair,
} from '../store/pairs.ts'
import { bounded } from './bounded.ts'
import { heldCollections } from './dependents.ts'
import { type Keyless, keylessRows } from './keyless.ts'
import type { Project } from './project.ts'
import { inPresentNames } from './renamed-columns.ts'
import { type ColumnMarks, renewedFields } from './renewed-columns.ts'
import { openSideCollection } from './side-collection.ts'

export interface PairSides extends AsyncDisposable {
  readonly sync: TwoWaySync
  readonly project: Project
  readonly pairing: Pairing
  readonly collections: Readonly<Record<SideName, Collection>>
  readonly memory: PairReader
  readonly state: PairState
  /** What the cells of new bases are. */
  readonly layout: Layout
  /** Why both sides have to be read in full; null: they need not. */
  readonly afresh: string | null
  readonly types: Readonly<Record<SideName, readonly Type[]>>
  readonly columns: ColumnMarks
  /** Whose fences each side holds for this sync, by project; null: it keeps none. */
  readonly fences: Readonly<Record<SideName, ReadonlyMap<string, number> | null>>
  /** Rows of a side that have no whole key. */
  readonly keyless: (side: SideName) => Promise<Keyless>
  /** Rows that were refused when a side was read because others have their key, by that key as text: a look-up may give one of them. */
  readonly duplicates: Readonly<Record<SideName, Map<string, { readonly code: string; readonly message: string }>>>
  /** Keys of rows without a pair that a look-up of this run did not find: a later one that does is of a replica that lags, or of a row for the next run. */
  readonly gone: Readonly<Record<SideName, Set<string>>>
  /** Collections of each side's connection whose rows no deletion may take along. */
  readonly held: Readonly<Record<SideName, readonly string[]>>
}

const MAKES_NONE =
  'A two-way sync makes no tables: make the one that is missing, with the fields that are to be synced.'

/** Opens both sides; writes nothing to either, and nothing to the memory. */
export async function openPairSides(sync: TwoWaySync, project: Project): Promise<PairSides> {
  const open = async (side: SideName): Promise<Collection> => {
    return bounded(await openSideCollection(project, sync[side], { key: sync.key[side] }, MAKES_NONE))
  }
  const collections = { left: await open('left'), right: await open('right') }
  const pairing = bindPairing(sync, collections.left.schema, collections.right.schema)
  refuseReadOnly(sync, collections)
  const memory = await project.store.pairs.read(sync.id)
  const columns = await columnMarks(collections)
  const state = inPresentNames(await memory.state(), columns)
  refuseOtherPlaces(sync, state)
  refuseOtherKeys(sync, pairing, state)
  const width = pairing.fields.length
  // After the state: a run that is under way tells of its claim before it takes it.
  const fencesOf = async (side: SideName) => (await collections[side].fences?.(fenceName(sync, side))) ?? null
  const sides: PairSides = {
    sync,
    project,
    pairing,
    collections,
    memory,
    state,
    ...layoutNow(pairing, state),
    types: { left: pairing.left.types.slice(0, width), right: pairing.right.types.slice(0, width) },
    columns,
    keyless: keylessRows(collections),
    duplicates: { left: new Map(), right: new Map() },
    gone: { left: new Set(), right: new Set() },
    fences: { left: await fencesOf('left'), right: await fencesOf('right') },
    held: {
      left: await heldCollections(project.store.pairs, sync.left),
      right: await heldCollections(project.store.pairs, sync.right),
    },
    [Symbol.asyncDispose]: () => memory[Symbol.asyncDispose](),
  }
  const renewed = await renewedFields(sides)
  if (renewed.size === 0) return sides
  const names = [...renewed].map((at) => pairing.fields[at]?.name)
  project.context.log(
    `sync ${sync.id}: ${names.join(', ')}: the column was dropped and made anew; what both sides hold stands, as for a field that is new in the mapping`,
  )
  return { ...sides, ...layoutNow(pairing, state, renewed) }
}

export async function columnMarks({ left, right }: PairSides['collections']): Promise<ColumnMarks> {
  return { left: (await left.columns?.()) ?? null, right: (await right.columns?.()) ?? null }
}

function layoutNow(
  pairing: Pairing,
  { layouts, fences }: PairState,
  renewed: ReadonlySet<number> = new Set(),
): Pick<PairSides, 'layout' | 'afresh'> {
  const layout = layoutOf(pairing, layouts, renewed)
  const last = layouts.at(-1)
  if (last === undefined) return { layout, afresh: 'it is the first run' }
  if (last.id === layout.id && last.complete) return { layout, afresh: null }
  if (renewed.size > 0) return { layout, afresh: 'a column was made anew' }
  if (fences.left === anyFence) return { layout, afresh: 'what both sides had agreed on was forgotten' }
  if (last.id !== layout.id) return { layout, afresh: 'the definition of the sync changed' }
  return { layout, afresh: 'the last run that had to did not come to its end' }
}

/** What is other about the fields than in the last run, for people; none in a first run, and when only rules changed. */
export function layoutChanges({ state, layout }: PairSides): readonly string[] {
  const last = state.layouts.at(-1)
  if (last === undefined || last.id === layout.id) return []
  const had = new Map(last.fields.map(({ name, since }) => [name, since]))
  const has = new Set(layout.fields.map(({ name }) => name))
  const came = layout.fields.flatMap(({ name, since }) => {
    if (!had.has(name)) return [`field ${spellField(name)} has come to the mapping`]
    return had.get(name) === since ? [] : [`field ${spellField(name)}: its column was made anew`]
  })
  const went = [...had.keys()]
    .filter((name) => !has.has(name))
    .map((name) => `field ${spellField(name)} has left the mapping`)
  return [...came, ...went]
}

/** A field of a layout, for people: `phone`, or `phone = telephone` where the sides call it differently. */
function spellField(name: string): string {
  const [left, right] = JSON.parse(name) as readonly string[]
  return left === right ? String(left) : `${left} = ${right}`
}

/** The generations of a run's fences, as far as it has taken them: whoever takes them over meanwhile ends it. */
export type Fences = Partial<Record<SideName, number>>

/** Errors of a claim that certainly did not take the fence. */
const unclaimed: readonly string[] = ['LEASE_LOST', 'CONNECTION_REFUSED']

export function fenceName(sync: TwoWaySync, side: SideName): string {
  return `${sync.id}:${side}`
}

/** Takes the fence of both sides: whoever wrote for this sync before writes nothing more. `generation`: of the lease. */
export async function openWriters(
  sides: PairSides,
  pairs: PairRun,
  fences: Fences,
  generation: number,
): Promise<Readonly<Record<SideName, Writer>> & AsyncDisposable> {
  const open = async (name: SideName): Promise<Writer> => {
    const { fields } = sides.pairing[name]
    const claim = async (held: number | null) =>
      await sides.collections[name].writer?.({
        project: sides.project.id,
        name: fenceName(sides.sync, name),
        fields,
        held,
        keeps: sides.held[name],
      })
    const writer = await claimSeen(sides, name, fences[name] ?? null, pairs, generation, claim).catch((error) => {
      // When the answer to a claim is lost, nobody knows whose the fence is: the next try takes it again.
      if (!(error instanceof SyncError) || !unclaimed.includes(error.code)) delete fences[name]
      throw error
    })
    if (writer !== undefined) fences[name] = writer.generation
    return writer ?? readOnlyWriter(sides, name)
  }
  const writers: Partial<Record<SideName, Writer>> = {}
  // Before: a run that dies while it takes them must not make its state look older than the sides.
  await pairs.claiming(generation)
  const dispose = async () => {
    const closed = await Promise.allSettled(sideNames.map((side) => writers[side]?.[Symbol.asyncDispose]()))
    for (const one of closed) if (one.status === 'rejected') throw one.reason
  }
  try {
    const left = await open('left')
    writers.left = left
    const right = await open('right')
    writers.right = right
    // Before anything is written: what a run does that is killed later must not look like it was never done.
    await pairs.claimed(generation, { left: seenOf(left), right: seenOf(right) })
    return { left, right, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    // What closing makes of it is no news.
    await dispose().catch(() => {})
    throw error
  }
}

/**
 * Claims a fence only if its generation is the one that this run has read, so that a process without the lease can't raise it. If another
 * has claimed since, and the lease is still ours, it claims again.
 */
async function claimSeen(
  sides: PairSides,
  name: SideName,
  held: number | null,
  pairs: PairRun,
  generation: number,
  claim: (held: number | null) => Promise<Writer | undefined>,
): Promise<Writer | undefined> {
  const { sync, project, collections, fences } = sides
  try {
    return await claim(held ?? (fences[name] === null ? null : (fences[name].get(project.id) ?? 0)))
  } catch (error) {
    if (held !== null || !(error instanceof SyncError) || error.code !== 'LEASE_LOST') throw error
  }
  await pairs.claiming(generation)
  const now = await collections[name].fences?.(fenceName(sync, name))
  return await claim(now?.get(project.id) ?? null)
}

/** Lets both sides forget what became of writes, which raises their fences, and remembers those. */
export async function closeWrites(
  pairs: PairRun,
  writers: Readonly<Record<SideName, Writer>>,
  fences: Fences,
  generation: number,
): Promise<void> {
  await pairs.claiming(generation)
  const forget = async (side: SideName) => {
    // When the answer is lost, nobody knows how far the fence went.
    delete fences[side]
    const now = await writers[side].forget()
    if (now > 0) fences[side] = now
    return now === 0 ? null : now
  }
  await pairs.claimed(generation, { left: await forget('left'), right: await forget('right') })
}

function seenOf({ generation }: Writer): number | null {
  return generation === 0 ? null : generation
}

/** Of a side that nothing flows to. */
function readOnlyWriter({ sync }: PairSides, side: SideName): Writer {
  return {
    generation: 0,
    write: async () => {
      throw new SyncError('READ_ONLY', `the ${side} side of sync ${sync.id} can't be written`)
    },
    recall: async () => null,
    forget: async () => 0,
    [Symbol.asyncDispose]: async () => {},
  }
}

/** Pairs of one table say nothing about another: its rows would look changed and deleted. */
function refuseOtherPlaces(sync: TwoWaySync, { layouts }: PairState): void {
  const places = layouts.at(-1)?.places
  if (places === undefined || places === placesText(sync)) return
  const spelled = (JSON.parse(places) as { connection: string; collection: string }[])
    .map(({ connection, collection }) => `${connection}.${collection}`)
    .join(' and ')
  throw new SyncError('CONFIG_INVALID', `sync ${sync.id} has pairs of ${spelled}, which it is not between any more`, {
    hint: `Give the sync another name, or let it forget its pairs: syncline reset ${sync.id}. The next run then pairs the rows by their match.`,
  })
}

/** Pairs remember keys by their values, in the order of the key's fields: of another key they say nothing. */
function refuseOtherKeys(sync: TwoWaySync, pairing: Pairing, { layouts }: PairState): void {
  const known = layouts.at(-1)?.keys
  if (known === undefined) return
  for (const side of sideNames) {
    const now = pairing[side].schema.key
    if (JSON.stringify(known[side]) === JSON.stringify(now)) continue
    const { connection, collection } = sync[side]
    throw new SyncError(
      'SCHEMA_DRIFT',
      `sync ${sync.id}: the key of ${connection}.${collection} changed from ${known[side].join(', ')} to ${now.join(', ')}`,
      {
        hint: `Nothing was written. If the new key is right, let the sync forget its pairs: syncline reset ${sync.id}. The next run then pairs the rows by their match (\`syncline plan ${sync.id}\` shows what it would do).`,
      },
    )
  }
}

function placesText({ left, right }: TwoWaySync): string {
  return JSON.stringify([left, right])
}

function refuseReadOnly(sync: TwoWaySync, collections: PairSides['collections']): void {
  for (const side of sideNames) {
    const written =
      sync.direction === 'both' || sync.direction === (side === 'left' ? 'right-to-left' : 'left-to-right')
    if (!written || collections[side].writer !== undefined) continue
    const { connection, collection } = sync[side]
    throw new SyncError('READ_ONLY', `sync ${sync.id} would write ${connection}.${collection}, which takes no writes`, {
      hint: 'A view or foreign table can only be the side that changes come from: direction.',
    })
  }
}

/** The layout of this definition: the last one, if nothing changed. A field that comes back counts as new. */
function layoutOf(
  { sync, fields, left, right }: Pairing,
  layouts: readonly Layout[],
  renewed: ReadonlySet<number>,
): Layout {
  // Its columns, not what the config calls it nor their types: a pending edit outlives both.
  const identity = (field: (typeof fields)[number]) => JSON.stringify([field.left.name, field.right.name])
  const names = fields.map(identity)
  const fingerprint = JSON.stringify({
    left: [sync.left, left.schema.key],
    right: [sync.right, right.schema.key],
    match: sync.match.map(({ field, by }) => [field, by !== null]),
    direction: sync.direction,
    fields: fields.map((field) => [identity(field), field.direction, field.references]),
  })
  const last = layouts.at(-1)
  const same = last !== undefined && last.fingerprint === fingerprint && last.mode === sync.bases
  const called = (at: number) => fields[at]?.name ?? ''
  if (same && renewed.size === 0)
    return { ...last, fields: last.fields.map((field, at) => ({ ...field, called: called(at) })) }
  const id = (last?.id ?? 0) + 1
  const sinceOf = (name: string) => last?.fields.find((field) => field.name === name)?.since ?? id
  return {
    id,
    mode: sync.bases,
    fingerprint,
    complete: false,
    ...(last?.others === undefined ? {} : { others: last.others }),
    places: placesText(sync),
    keys: { left: left.schema.key, right: right.schema.key },
    fields: names.map((name, at) => ({ name, since: renewed.has(at) ? id : sinceOf(name), called: called(at) })),
  }
}

/** A stored base in the present layout. */
export function cellsOfPair(sides: PairSides, pair: StoredPair): Record<SideName, string[]> {
  const { layout, state } = sides
  if (pair.layout === 0) {
    const none = layout.fields.map(() => neverCell)
    return { left: none, right: [...none] }
  }
  const from = pair.layout === layout.id ? layout : state.layouts.find(({ id }) => id === pair.layout)
  const decode = (text: string) => cellsIn(sides, from, decodeCells(from?.mode ?? layout.mode, text))
  const left = decode(pair.leftBase)
  return { left, right: pair.rightBase === null ? [...left] : decode(pair.rightBase) }
}

/** Cells of an earlier layout in the present one. Undefined: nobody knows which it was. */
export function cellsIn({ layout }: PairSides, from: Layout | undefined, cells: readonly string[]): string[] {
  if (from === undefined) return layout.fields.map(() => unknownCell)
  if (from.id === layout.id) return [...cells]
  return layout.fields.map(({ name, since }) => {
    const at = from.fields.findIndex((field) => field.name === name)
    const cell = at < 0 || since > from.id ? unknownCell : (cells[at] ?? unknownCell)
    if (from.mode === layout.mode) return cell
    return from.mode === 'values' ? hashCell(cell) : hashedCell(cell)
  })
}

/** The stored form of both sides' cells. */
export function encodePair(
  { layout }: PairSides,
  cells: Readonly<Record<SideName, readonly string[]>>,
): Pick<StoredPair, 'leftBase' | 'rightBase' | 'layout'> {
  const leftBase = encodeCells(layout.mode, cells.left)
  const rightBase = encodeCells(layout.mode, cells.right)
  return { leftBase, rightBase: rightBase === leftBase ? null : rightBase, layout: layout.id }
}

/** The cells of one side's row. */
export function rowCells({ layout, types, pairing }: PairSides, side: PairSide, row: Row): string[] {
  return cellsOf(layout.mode, types[side.name], row, pairing.fields.length)
}
