/**
 * Finds the pairs again that a state has lost: rows of both sides that belong together, by their keys or by fields. Writes to the
 * state alone, and lets it forget what was agreed, so that the next run compares everything and loses nothing.
 */
import type { Page } from '../connectors/connector.ts'
import { SyncError } from '../core/error.ts'
import { keyText, parseKeyText } from '../core/key-text.ts'
import { keyOfSide } from '../core/pairing.ts'
import type { PrintedKey } from '../core/run.ts'
import { otherSide, type SideName, sideNames, type TwoWaySync } from '../core/two-way.ts'
import type { Row } from '../core/value.ts'
import type { Mark, PairRun, PairWork } from '../store/pairs.ts'
import { printedKey } from './conflict-object.ts'
import { interrupted } from './detect.ts'
import { openPairSides, type PairSides } from './pair-sides.ts'
import type { Project } from './project.ts'
import { resetSync } from './worker.ts'

/** What rows that belong together have in common: their keys, what the sync's `match` says, or fields of the sync. */
export type PairedBy = 'key' | 'match' | readonly string[]

export interface PairRepair {
  /** Pairs that the state knows, and those of them that have no row on a side any more. */
  readonly known: number
  readonly lost: Readonly<Record<SideName, number>>
  /** Pairs that were found. */
  readonly found: number
  /** Rows that stay without a pair: the next run inserts them on the other side. */
  readonly alone: Readonly<Record<SideName, Alone>>
}

export interface Alone {
  readonly rows: number
  /** How many of them have what the others have in common with more than one row. */
  readonly ambiguous: number
  /** Keys of the first few. */
  readonly samples: readonly PrintedKey[]
}

const MOST_SAMPLES = 5
/** Looked up at a time. */
const ROWS = 1000

/** Null as `lease`: nothing is changed, and the answer is what would be. Else it is the generation of the sync's lease. */
export async function repairPairs(
  sync: TwoWaySync,
  project: Project,
  by: PairedBy,
  lease: number | null,
): Promise<PairRepair> {
  await using sides = await openPairSides(matchedBy(sync, by), project)
  const matchOf = by === 'key' ? keyMatch(sides) : sides.pairing.matchOf
  await using opened = lease === null ? await project.store.pairs.plan(sync.id) : await project.store.pairs.run(sync.id)
  const run = 'work' in opened ? opened : null
  const work = 'work' in opened ? opened.work : opened
  const gather = { sides, work, matchOf }
  const left = await gatherSide(gather, 'left')
  const right = await gatherSide(gather, 'right')
  // Before anything is forgotten: whoever is killed in between leaves a state that is refused as before.
  const found = run === null || lease === null ? await work.passAlike() : await run.pairAlike(lease, 0)
  const alone = await drain(gather)
  if (run !== null && lease !== null) await begin(sides, run, lease)
  return { known: left.paired + left.lost, lost: { left: left.lost, right: right.lost }, found, alone }
}

/** The pairs are whole, and nothing counts as agreed about them. */
async function begin({ sync, project, state, layout }: PairSides, run: PairRun, lease: number): Promise<void> {
  const cursors = { left: null, right: null }
  // A state that has a layout is no stranger to its sides.
  if (state.layouts.length === 0) await run.finish(lease, { cursors, layouts: [layout], runs: state.runs })
  await resetSync(sync, project, { drop: false, keepPairs: true })
}

/** The sync with the match that is asked for. */
function matchedBy(sync: TwoWaySync, by: PairedBy): TwoWaySync {
  if (by === 'key') return sync
  if (by !== 'match') return { ...sync, match: by.map((field) => ({ field, by: null })) }
  if (sync.match.length > 0) return sync
  throw new SyncError('CONFIG_INVALID', `sync ${sync.id} has no \`match\` to pair rows by`, {
    hint: 'Pair them by their keys (--by key) or by fields that both sides have in common (--by email).',
  })
}

type MatchOf = (side: SideName, row: Row) => string | null

/** Keys mean the same on both sides only where they are of the same types. */
function keyMatch({ sync, pairing }: PairSides): MatchOf {
  const types = { left: pairing.left.keyTypes, right: pairing.right.keyTypes }
  if (JSON.stringify(types.left) !== JSON.stringify(types.right)) {
    const spelled = sideNames.map((side) => `${pairing[side].schema.key.join(', ')} (${types[side].join(', ')})`)
    throw new SyncError('CONFIG_INVALID', `sync ${sync.id}: keys ${spelled.join(' and ')} can't be compared`, {
      hint: 'Pair the rows by fields that both sides have in common, for example --by email.',
    })
  }
  return (side, row) => keyText(keyOfSide(pairing[side], row))
}

interface Gather {
  readonly sides: PairSides
  readonly work: PairWork
  readonly matchOf: MatchOf
}

/** Keeps the rows of a side that have no pair, with what they may have in common with a row of the other. */
async function gatherSide(gather: Gather, name: SideName): Promise<{ readonly paired: number; readonly lost: number }> {
  const { sides, work } = gather
  const { signal } = sides.project.context
  const collection = sides.collections[name]
  let paired = 0
  await work.sweep.begin(name)
  for await (const page of collection.read(null, {
    fields: sides.pairing[name].fields,
    where: null,
    signal,
    readOnly: true,
  })) {
    if (signal.aborted) throw interrupted(sides)
    paired += await gatherPage(gather, name, page)
  }
  const lost = await work.sweep.end()
  for (let items = await work.next('writes', ROWS); items.length > 0; items = await work.next('writes', ROWS))
    await work.done(items)
  return { paired, lost }
}

/** Returns how many rows of the page have a pair. */
async function gatherPage({ sides, work, matchOf }: Gather, name: SideName, page: Page): Promise<number> {
  const { memory, pairing } = sides
  const rows = new Map(page.puts.map((row) => [keyText(keyOfSide(pairing[name], row)), row]))
  const keys = [...rows.keys(), ...page.rejects.map(({ key }) => keyText(key))]
  await work.sweep.saw(keys)
  const pairs = new Set((await memory.byKeys(name, keys)).map((pair) => pair[name]))
  await work.add(
    [...rows].flatMap(([key, row]): Mark[] =>
      pairs.has(key) ? [] : [{ side: name, key, match: matchOf(name, row), cells: '' }],
    ),
  )
  return pairs.size
}

/** Counts what found no counterpart, but for rows whose counterpart was deleted, and which stay as they are. */
async function drain({ sides, work, matchOf }: Gather): Promise<PairRepair['alone']> {
  const alone = { left: noneAlone(), right: noneAlone() }
  for (;;) {
    const items = await work.next('writes', ROWS)
    if (items.length === 0) return alone
    for (const side of sideNames) {
      const marked = items.flatMap((item) => (item.side === side ? [item.key] : []))
      const unpaired = await sides.memory.unpaired(side, marked)
      const parted = new Set(unpaired.flatMap(({ key, state }) => (state === 'parted' ? [key] : [])))
      const keys = marked.filter((key) => !parted.has(key))
      const { schema, fields } = sides.pairing[side]
      const { rows } = await sides.collections[side].lookup.fetch(keys.map(parseKeyText), fields)
      const matches = rows.flatMap((row) => matchOf(side, row) ?? [])
      const partners = await work.partners(otherSide(side), [...new Set(matches)])
      const rivals = new Set(partners.map(({ match }) => match))
      const of = alone[side]
      of.rows += keys.length
      of.ambiguous += matches.filter((match) => rivals.has(match)).length
      of.samples.push(...keys.slice(0, MOST_SAMPLES - of.samples.length).map((key) => printedKey(schema.key, key)))
    }
    await work.done(items)
  }
}

function noneAlone(): { rows: number; ambiguous: number; samples: PrintedKey[] } {
  return { rows: 0, ambiguous: 0, samples: [] }
}
