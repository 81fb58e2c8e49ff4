/** Finds what a two-way run has to look at: reads both sides past their cursors and marks what is not as its base says. */
import type { Collection, Page, View } from '../../connectors/connector.ts'
import { everything } from '../../connectors/connector.ts'
import { cellOf, encodeCells, neverCell } from '../../core/base.ts'
import { SyncError } from '../../core/error.ts'
import { isWhole, keyText, parseKeyText } from '../../core/key-text.ts'
import { keyOf } from '../../core/mapping.ts'
import { keyOfSide } from '../../core/pairing.ts'
import type { Rejection } from '../../core/sync.ts'
import { otherSide, type SideName } from '../../core/two-way.ts'
import type { Row, Type } from '../../core/value.ts'
import type { Mark, PairReader, PairRun, PairWork, StoredPair, Unpaired } from '../../store/pairs.ts'
import type { Tally } from '../observe/run-counts.ts'
import { Changes } from './changes.ts'
import { cellsOfPair, type PairSides, rowCells } from './pair-sides.ts'

export interface Detected {
  /** Where the next run goes on, once all that was marked is dealt with. */
  readonly cursors: Readonly<Record<SideName, string | null>>
  /** Rows each side holds. */
  readonly rows: Readonly<Record<SideName, number>>
}

/** The run that looks. */
export interface Finder {
  readonly pairs: PairRun
  readonly generation: number
  /** The last run came to its end. After one that did not, a key used again may be of a row that it inserted. */
  readonly whole: boolean
}

/** Puts what is to be done on a work list. Rows that meet and are alike become pairs; null: a plan, nothing durable changes. */
export async function detect(sides: PairSides, work: PairWork, tally: Tally, run: Finder | null): Promise<Detected> {
  const waiting = await sides.memory.waiting()
  await work.add([
    ...waiting.pairs.map(({ pair }) => ({ pair })),
    ...waiting.unpaired.map(({ side, key, match }) => ({ side, key, match })),
  ])
  // Two full sides that meet for the first time: what is alike is paired without a second look.
  const bulk =
    sides.afresh !== null && waiting.unpaired.length === 0 && sides.sync.match.length > 0 && spelledAlike(sides)
  const nothing = bulk && (await work.known('left')) === 0 && (await work.known('right')) === 0
  const reading = { bulk, nothing, work, run }
  const found = {
    left: await readSide(sides, 'left', tally, { ...reading, uncounted: areUncounted(waiting, 'left') }),
    right: await readSide(sides, 'right', tally, { ...reading, uncounted: areUncounted(waiting, 'right') }),
  }
  if (bulk) {
    const alike = run === null ? work.passAlike() : run.pairs.pairAlike(run.generation, sides.layout.id)
    tally.add({ unchanged: await alike })
  }
  return {
    cursors: { left: found.left.cursor, right: found.right.cursor },
    rows: { left: found.left.rows, right: found.right.rows },
  }
}

/** Whether several rows of a side may have one key, or none: the memory knows one of them, so that counts prove nothing. */
function areUncounted({ pairs, unpaired }: Awaited<ReturnType<PairReader['waiting']>>, name: SideName): boolean {
  return (
    pairs.some(({ code }) => code === 'KEY_DUPLICATE') ||
    unpaired.some(({ side, key, code }) => side === name && (code === 'KEY_DUPLICATE' || !isWhole(parseKeyText(key))))
  )
}

/** Whether equal cells mean equal values in every field. */
function spelledAlike({ pairing, sync }: PairSides): boolean {
  const given = sync.fields ?? []
  const plain = given.every(({ type, toLeft, toRight }) => type === null && toLeft === null && toRight === null)
  return plain && pairing.fields.every(({ left, right, references }) => references === null && left.type === right.type)
}

interface Reading {
  /** Rows without a pair are kept with their cells, to be paired all at once. */
  readonly bulk: boolean
  /** Nothing is known yet: there is nothing to look up. */
  readonly nothing: boolean
  readonly work: PairWork
  readonly run: Finder | null
}

interface ReadingSide extends Reading {
  /** What is known before it is read of rows that the memory can't count. */
  readonly uncounted: boolean
}

interface ReadSide {
  readonly cursor: string | null
  readonly rows: number
}

async function readSide(sides: PairSides, side: SideName, tally: Tally, reading: ReadingSide): Promise<ReadSide> {
  const collection = sides.collections[side]
  const stored = sides.afresh === null && collection.feed !== 'none' ? sides.state.cursors[side] : null
  tally.enter(
    stored === null ? 'compare' : 'follow',
    stored === null ? ((await collection.estimate?.()) ?? null) : null,
  )
  try {
    return await readFrom(sides, side, collection, stored, tally, reading)
  } catch (error) {
    if (stored === null || !(error instanceof SyncError) || error.code !== 'CURSOR_UNUSABLE') throw error
    sides.project.context.log(`sync ${sides.sync.id}: ${error.message}; comparing in full`)
    return await readFrom(sides, side, collection, null, tally, reading)
  }
}

async function readFrom(
  sides: PairSides,
  name: SideName,
  collection: Collection,
  cursor: string | null,
  tally: Tally,
  reading: ReadingSide,
): Promise<ReadSide> {
  const { pairing, project } = sides
  const side = pairing[name]
  let hinted = 0
  let { uncounted } = reading
  const refused = new Set<string>()
  for await (const page of collection.read(cursor, {
    fields: side.fields,
    where: null,
    signal: project.context.signal,
    readOnly: reading.run === null,
  })) {
    if (project.context.signal.aborted) throw interrupted(sides)
    hinted += await markPage(sides, name, page, reading)
    for (const { key, code } of page.rejects) {
      const text = keyText(key)
      uncounted ||= code === 'KEY_DUPLICATE' || !isWhole(key) || refused.has(text)
      refused.add(text)
    }
    tally.add({ read: page.puts.length + page.deletes.length })
    if (page.view === undefined) continue
    const rows = await page.view.count()
    if (uncounted || rows !== (await reading.work.known(name)) - hinted) {
      tally.enter('sweep', null)
      await sweep(sides, reading.work, name, page.view)
    }
    return { cursor: collection.feed === 'none' ? null : page.cursor, rows }
  }
  throw new SyncError('INTERNAL', `the connector of ${collection.schema.name} ended a read without a view`)
}

/** Marks rows that differ from their base, and rows without a pair. Returns how many known keys the page said are gone. */
async function markPage(sides: PairSides, name: SideName, page: Page, reading: Reading): Promise<number> {
  const { bulk, run, work } = reading
  const { pairing } = sides
  const { mode } = sides.layout
  const side = pairing[name]
  if (run?.whole === true) await partReplaced(sides, name, page, run)
  const keys = page.puts.map((row) => keyText(keyOfSide(side, row)))
  const others = [...page.deletes.map(keyText), ...page.rejects.map(({ key }) => keyText(key))]
  const { pairs, alone, open } = reading.nothing ? nothingKnown : await lookUp(sides, name, [...keys, ...others])
  const marks: Mark[] = []
  page.puts.forEach((row, at) => {
    const key = keys[at] as string
    const pair = pairs.get(key)
    if (pair !== undefined) {
      if (open.has(pair.id) || differs(sides, name, pair, row)) marks.push({ pair: pair.id })
      return
    }
    const match = pairing.matchOf(name, row)
    const known = alone.get(key)
    const settled = known?.state === 'parted' || (known?.state === 'alone' && sides.afresh === null)
    if (settled && known.match === match) return
    marks.push({ side: name, key, match, ...(bulk ? { cells: encodeCells(mode, rowCells(sides, side, row)) } : {}) })
  })
  let gone = 0
  for (const key of page.deletes.map(keyText)) {
    const pair = pairs.get(key)
    if (pair === undefined && !alone.has(key)) continue
    gone++
    marks.push(pair === undefined ? { side: name, key, match: null } : { pair: pair.id })
  }
  marks.push(...refusedMarks(sides, name, page.rejects, pairs))
  await work.add(marks)
  return gone
}

function refusedMarks(
  { duplicates }: PairSides,
  name: SideName,
  rejects: readonly Rejection[],
  pairs: ReadonlyMap<string, StoredPair>,
): readonly Mark[] {
  return rejects.map(({ key, code, message }) => {
    const text = keyText(key)
    if (code === 'KEY_DUPLICATE') duplicates[name].set(text, { code, message })
    const pair = pairs.get(text)
    return pair === undefined ? { side: name, key: text, match: null } : { pair: pair.id }
  })
}

interface Known {
  readonly pairs: ReadonlyMap<string, StoredPair>
  readonly alone: ReadonlyMap<string, Unpaired>
  /** Pairs with a conflict on record: a row that is as it was agreed again may end it. */
  readonly open: ReadonlySet<number | null>
}
const nothingKnown: Known = { pairs: new Map(), alone: new Map(), open: new Set() }

async function lookUp({ memory, project, sync }: PairSides, name: SideName, keys: readonly string[]): Promise<Known> {
  const pairs = new Map((await memory.byKeys(name, keys)).map((pair) => [pair[name], pair]))
  const lone = keys.filter((key) => !pairs.has(key))
  const alone = new Map((await memory.unpaired(name, lone)).map((one) => [one.key, one]))
  const ids = [...pairs.values()].map(({ id }) => id)
  const conflicts = await project.store.pairs.conflicts.ofPairs(sync.id, ids)
  return { pairs, alone, open: new Set(conflicts.map(({ pair }) => pair)) }
}

/** A row whose key another row had is not that row: the pair has lost its row. Unless the match says that it is the same. */
async function partReplaced(sides: PairSides, name: SideName, page: Page, run: Finder): Promise<void> {
  const { memory, pairing, collections } = sides
  const replaced = new Set((page.replaced ?? []).map(keyText))
  if (replaced.size === 0) return
  const pairs = await memory.byKeys(name, [...replaced])
  const other = otherSide(name)
  const chunk = await collections[other].lookup.fetch(
    pairs.map((pair) => parseKeyText(pair[other])).filter(isWhole),
    pairing[other].fields,
  )
  const matches = new Map(
    chunk.rows.map((row) => [keyText(keyOfSide(pairing[other], row)), pairing.matchOf(other, row)]),
  )
  const rows = new Map(page.puts.map((row) => [keyText(keyOfSide(pairing[name], row)), row]))
  const taken = pairs.filter((pair) => {
    const row = rows.get(pair[name])
    if (row === undefined || !differs(sides, name, pair, row)) return false
    const match = matches.get(pair[other]) ?? null
    return match === null || match !== pairing.matchOf(name, row)
  })
  if (taken.length === 0) return
  const changes = new Changes(sides, '')
  for (const pair of taken) changes.lose(name, pair)
  await run.pairs.commit(run.generation, changes.commit())
  await run.pairs.work.add(taken.map(({ id }) => ({ pair: id })))
}

function differs(sides: PairSides, name: SideName, pair: StoredPair, row: Row): boolean {
  const both = cellsOfPair(sides, pair)
  if (both[otherSide(name)].includes(neverCell)) return true
  const cells = both[name]
  const types = sides.types[name]
  const { mode } = sides.layout
  for (let at = 0; at < types.length; at++)
    if (cells[at] !== cellOf(mode, types[at] as Type, row[at] ?? null)) return true
  return pair.layout !== sides.layout.id
}

/** Marks every known key that the side does not have, and rows whose key others have. */
async function sweep(sides: PairSides, work: PairWork, name: SideName, view: View): Promise<void> {
  const { pairing, project } = sides
  const side = pairing[name]
  await work.sweep.begin(name)
  const at = side.keyTypes.map((_type, part) => part)
  for await (const chunk of view.scan(everything, side.schema.key)) {
    if (project.context.signal.aborted) throw interrupted(sides)
    await work.sweep.saw(chunk.rows.map((row) => keyText(keyOf(row, at, side.keyTypes))))
    await work.sweep.saw(chunk.rejects.map(({ key }) => keyText(key)))
    const several = chunk.rejects.filter(({ code }) => code === 'KEY_DUPLICATE')
    const { pairs } = await lookUp(
      sides,
      name,
      several.map(({ key }) => keyText(key)),
    )
    await work.add(refusedMarks(sides, name, several, pairs))
  }
  await work.sweep.end()
}

export function interrupted({ sync }: PairSides): SyncError {
  return new SyncError('INTERRUPTED', `sync ${sync.id} was interrupted`, {
    hint: 'Run again: what was done is kept, and nothing is done twice.',
  })
}
