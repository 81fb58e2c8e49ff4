/**
 * Finds the pairs again that a state has lost: rows of both sides that belong together, by their keys or by fields. Writes to the
 * state alone, and lets it forget what was agreed, so that the next run compares everything and loses nothing.
 */
import type { Page } from '../../connectors/connector.ts'
import { SyncError } from '../../core/error.ts'
import { isWhole, keyText, parseKeyText } from '../../core/key-text.ts'
import { keyOfSide } from '../../core/pairing.ts'
import type { PrintedKey } from '../../core/run.ts'
import { otherSide, type SideName, sideNames, type TwoWaySync } from '../../core/two-way.ts'
import type { Row } from '../../core/value.ts'
import type { NewPair, PairCommit, PairRun, PairWork, StoredPair } from '../../store/pairs.ts'
import type { Project } from '../project.ts'
import { Changes } from './changes.ts'
import { printedKey } from './conflict-object.ts'
import { interrupted } from './detect.ts'
import { openPairSides } from './open.ts'
import type { PairSides } from './pair-sides.ts'

/** What rows that belong together have in common: their keys, what the sync's `match` says, or fields of the sync. */
export type PairedBy = 'key' | 'match' | readonly string[]

export interface PairRepair {
  /** Pairs that the state knows, and those of them that have no row on a side any more. */
  readonly known: number
  readonly lost: Readonly<Record<SideName, number>>
  /** Pairs that were found, also those of `lost` that got another row. */
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
/** Of rows that have a match in common. */
const SOME = 3

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
  const repair = new Repair(sides, 'work' in opened ? opened.work : opened, matchOf, async (change) => {
    if (run !== null && lease !== null) await run.commit(lease, { ...new Changes(sides, '').commit(), ...change })
  })
  for (const side of sideNames) await repair.gather(side)
  await repair.pair()
  // Only now is anything forgotten: whoever is killed before leaves a state that is refused as before.
  if (run !== null && lease !== null) await begin(sides, run, lease)
  return repair.result
}

/** The pairs are whole, and nothing counts as agreed about them. */
async function begin({ sync, project, state, layout }: PairSides, run: PairRun, lease: number): Promise<void> {
  const cursors = { left: null, right: null }
  // A state that has a layout is no stranger to its sides.
  if (state.layouts.length === 0) await run.finish(lease, { cursors, layouts: [layout], runs: state.runs })
  await project.store.pairs.reset(sync.id, { keepPairs: true })
}

/** The sync with the match that is asked for. */
function matchedBy(sync: TwoWaySync, by: PairedBy): TwoWaySync {
  if (by === 'key') return sync
  if (by !== 'match') return { ...sync, match: by.map((field) => ({ field, by: null })) }
  if (sync.match.length > 0) return sync
  throw new SyncError('CONFIG_INVALID', `sync ${sync.id} has no \`match\` to pair rows by`, {
    hint: 'Say what rows that belong together have in common: fields of the sync (--by email), or their keys, if both sides have the same ones (--by key).',
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

interface Waiting {
  readonly side: SideName
  readonly key: string
  readonly match: string | null
}

class Repair {
  readonly #sides: PairSides
  readonly #work: PairWork
  readonly #matchOf: MatchOf
  readonly #commit: (change: Partial<PairCommit>) => Promise<void>
  /** Rows that took the place of one that is gone, by side and key. */
  readonly #moved = new Set<string>()
  #paired = 0
  #found = 0
  readonly #lost = { left: 0, right: 0 }
  readonly #alone = { left: noneAlone(), right: noneAlone() }

  constructor(
    sides: PairSides,
    work: PairWork,
    matchOf: MatchOf,
    commit: (change: Partial<PairCommit>) => Promise<void>,
  ) {
    this.#sides = sides
    this.#work = work
    this.#matchOf = matchOf
    this.#commit = commit
  }

  get result(): PairRepair {
    return { known: this.#paired + this.#lost.left, lost: this.#lost, found: this.#found, alone: this.#alone }
  }

  /** Puts on the work list the rows of a side that have no pair, and the pairs that have no row there. */
  async gather(name: SideName): Promise<void> {
    const { collections, pairing, project } = this.#sides
    const { signal } = project.context
    const options = { fields: pairing[name].fields, where: null, signal, readOnly: true }
    await this.#work.sweep.begin(name)
    for await (const page of collections[name].read(null, options)) {
      if (signal.aborted) throw interrupted(this.#sides)
      await this.#gatherPage(name, page)
    }
    await this.#work.sweep.end()
  }

  async #gatherPage(name: SideName, page: Page): Promise<void> {
    const { memory, pairing } = this.#sides
    const rows = new Map(page.puts.map((row) => [keyText(keyOfSide(pairing[name], row)), row]))
    const keys = [...rows.keys(), ...page.rejects.map(({ key }) => keyText(key))]
    await this.#work.sweep.saw(keys)
    const pairs = new Set((await memory.byKeys(name, keys)).map((pair) => pair[name]))
    if (name === 'left') this.#paired += pairs.size
    const lone = [...rows].filter(([key]) => !pairs.has(key))
    await this.#work.add(lone.map(([key, row]) => ({ side: name, key, match: this.#matchOf(name, row) })))
  }

  /** Pairs come first: one that has lost a row may get another. */
  async pair(): Promise<void> {
    for (;;) {
      if (this.#sides.project.context.signal.aborted) throw interrupted(this.#sides)
      const items = await this.#work.next('writes', ROWS)
      if (items.length === 0) return
      await this.#repairPairs(items.flatMap(({ pair }) => (pair === null ? [] : [pair])))
      const lone = items.flatMap((item) => (item.side === null ? [] : [item]))
      for (const side of sideNames)
        await this.#pairRows(
          side,
          lone.filter((item) => item.side === side),
        )
      await this.#work.done(items)
    }
  }

  async #repairPairs(ids: readonly number[]): Promise<void> {
    const pairs = await this.#sides.memory.byIds(ids)
    const rows = {
      left: await this.#rowsOf(
        'left',
        pairs.map(({ left }) => left),
      ),
      right: await this.#rowsOf(
        'right',
        pairs.map(({ right }) => right),
      ),
    }
    for (const side of sideNames) {
      const other = otherSide(side)
      const lost = pairs.filter((pair) => !rows[side].has(pair[side]))
      this.#lost[side] += lost.length
      const left = lost.flatMap((pair): (Waiting & { pair: StoredPair })[] => {
        const match = rows[other].get(pair[other]) ?? null
        return match === null ? [] : [{ side: other, key: pair[other], match, pair }]
      })
      const partners = await this.#partners(left)
      const ofMatch = Map.groupBy(left, (one) => one.match)
      const update = left.flatMap(({ pair, match }) => {
        const [own, others] = [partners.get(`${side}${match}`) ?? [], partners.get(`${other}${match}`) ?? []]
        const rivals = (ofMatch.get(match)?.length ?? 1) - 1
        return own.length === 1 && others.length + rivals === 0 ? [{ ...pair, [side]: own[0] as string }] : []
      })
      for (const pair of update) this.#moved.add(`${side}${pair[side]}`)
      this.#found += update.length
      await this.#commit({ update, settled: update.map((pair) => ({ side, key: pair[side] })) })
    }
  }

  /** A pair is made where the row on the left is met, and seen again, in a plan, where its row on the right is. */
  async #pairRows(side: SideName, items: readonly { readonly key: string }[]): Promise<void> {
    const { memory, pairing } = this.#sides
    const keys = items.map(({ key }) => key)
    // Those that a pair was made of since.
    const paired = new Set((await memory.byKeys(side, keys)).map((pair) => pair[side]))
    const matches = await this.#rowsOf(side, keys)
    const waiting = [...matches].flatMap(([key, match]): Waiting[] =>
      paired.has(key) || this.#moved.has(`${side}${key}`) ? [] : [{ side, key, match }],
    )
    const partners = await this.#partners(waiting)
    const parted = new Set(
      (await memory.unpaired(side, [...matches.keys()])).flatMap(({ key, state }) => (state === 'parted' ? [key] : [])),
    )
    const insert: NewPair[] = []
    const of = this.#alone[side]
    for (const { key, match } of waiting) {
      const own = partners.get(`${side}${match}`) ?? []
      const others = (partners.get(`${otherSide(side)}${match}`) ?? []).filter(
        (other) => !this.#moved.has(`${otherSide(side)}${other}`),
      )
      if (match !== null && own.length === 1 && others.length === 1) {
        if (side === 'left') insert.push({ left: key, right: others[0] as string, ...nothingAgreed })
      } else if (!parted.has(key)) {
        of.rows++
        if (match !== null && others.length > 0) of.ambiguous++
        if (of.samples.length < MOST_SAMPLES) of.samples.push(printedKey(pairing[side].schema.key, key))
      }
    }
    this.#found += insert.length
    const settled = insert.flatMap((pair) => sideNames.map((one) => ({ side: one, key: pair[one] })))
    await this.#commit({ insert, settled })
  }

  /** Rows without a pair that have these matches: keys by side and match, of each as many as tell whether there is one. */
  async #partners(rows: readonly Waiting[]): Promise<ReadonlyMap<string, readonly string[]>> {
    const matches = [...new Set(rows.flatMap(({ match }) => match ?? []))]
    const partners = new Map<string, string[]>()
    for (const side of sideNames) {
      const found = await this.#work.partners(side, matches, SOME)
      const keys = found.map(({ key }) => key)
      // What was known to have no pair may be gone by now, or be another row. What was gathered is there.
      const known = (await this.#sides.memory.unpaired(side, keys)).map(({ key }) => key)
      const there = await this.#rowsOf(side, known)
      const stale = new Set(known)
      for (const { match, key } of found) {
        if (stale.has(key) && there.get(key) !== match) continue
        const of = partners.get(`${side}${match}`)
        if (of === undefined) partners.set(`${side}${match}`, [key])
        else of.push(key)
      }
    }
    return partners
  }

  /** The matches of the rows that are there, by key. */
  async #rowsOf(side: SideName, keys: readonly string[]): Promise<ReadonlyMap<string, string | null>> {
    const { collections, pairing } = this.#sides
    const wanted = keys.map(parseKeyText).filter(isWhole)
    const { rows, rejects } = await collections[side].lookup.fetch(wanted, pairing[side].fields)
    return new Map([
      ...rows.map((row) => [keyText(keyOfSide(pairing[side], row)), this.#matchOf(side, row)] as const),
      ...rejects.map(({ key }) => [keyText(key), null] as const),
    ])
  }
}

const nothingAgreed = { leftBase: '', rightBase: null, layout: 0, recent: null }

function noneAlone(): { rows: number; ambiguous: number; samples: PrintedKey[] } {
  return { rows: 0, ambiguous: 0, samples: [] }
}
