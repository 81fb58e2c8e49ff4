/** Opens both sides of a two-way sync, and refuses what can't be synced. Writes nothing. */
import type { Collection } from '../../connectors/connector.ts'
import { SyncError } from '../../core/error.ts'
import { bindPairing, type Pairing } from '../../core/pairing.ts'
import { type SideName, sideNames, type TwoWaySync } from '../../core/two-way.ts'
import { anyFence, type Layout, type PairState } from '../../store/pairs.ts'
import { openSideCollection } from '../connections/side-collection.ts'
import type { Project } from '../project.ts'
import { bounded } from './bounded-collection.ts'
import { heldCollections } from './dependents.ts'
import { fenceName } from './fences.ts'
import { keylessRows } from './keyless.ts'
import type { ColumnMarks, PairSides } from './pair-sides.ts'
import { renewedFields } from './recreated-columns.ts'
import { inPresentNames } from './renamed-columns.ts'

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
