/** Loads what was marked: pairs with their bases and both rows as they stand now; rows without a pair with their partners. */
import { baseOf } from '../../core/base.ts'
import { isWhole, keyText, parseKeyText } from '../../core/key-text.ts'
import { ownValue } from '../../core/own-value.ts'
import { keyOfSide } from '../../core/pairing.ts'
import { givenValue, type Held, type Item, missingParent, type Resolution } from '../../core/reconcile.ts'
import { otherSide, type SideName, sideNames } from '../../core/two-way.ts'
import { canonical, type Row, type Value } from '../../core/value.ts'
import type { ConflictRecord, MatchedRow, PairWork, StoredPair, Unpaired, WorkItem } from '../../store/pairs.ts'
import { cellsOfPair, type PairSides } from './pair-sides.ts'

/** One logical row, ready to be decided about. */
export interface LoadedItem {
  readonly work: WorkItem
  /** Null: only one side has the row, and it has no pair. */
  readonly pair: StoredPair | null
  readonly keys: Readonly<Record<SideName, string | null>>
  readonly item: Item
  readonly conflicts: readonly ConflictRecord[]
  /** A side could not give the row as its schema declares it. */
  readonly unreadable: { readonly code: string; readonly message: string } | null
  readonly match: string | null
  /** What is remembered of a row without a pair. */
  readonly unpaired: Unpaired | null
  /** The side on which the pair's row has another key now. */
  readonly moved: SideName | null
}

/** Two rows that meet for the first time. */
export interface Meeting {
  readonly works: readonly WorkItem[]
  readonly keys: Readonly<Record<SideName, string>>
  readonly rows: Readonly<Record<SideName, Row>>
}

/** Rows whose match is not unique. */
export interface Ambiguity {
  readonly match: string
  readonly keys: Readonly<Record<SideName, readonly string[]>>
  readonly rows: Readonly<Record<SideName, readonly MatchedRow[]>>
}

export interface Loaded {
  readonly items: readonly LoadedItem[]
  readonly meetings: readonly Meeting[]
  readonly ambiguities: readonly Ambiguity[]
  /** Rows without a pair that are gone. */
  readonly gone: readonly { readonly side: SideName; readonly key: string }[]
  /** All that was loaded, whatever became of it. */
  readonly works: readonly WorkItem[]
}

/**
 * Of one batch. What was asked for once is not asked again: a row that is there only at the second look was not matched with any.
 * `most`: bytes after which no more is fetched.
 */
type Rows = Record<SideName, Map<string, Row>> & {
  readonly asked: Readonly<Record<SideName, Set<string>>>
  bytes: number
  readonly most: number
}
type Unreadable = Record<SideName, Map<string, { code: string; message: string }>>

/** Rows of a batch, as read: its intents and results are one JSON text each, which may be seven times as long. */
const BATCH_BYTES = 32 * 1024 * 1024
/** Keys that are asked for before anybody knows how large their rows are. */
const FIRST_KEYS = 8

/** How many works to take for the next batch: fewer where there was no room for more, then twice as many again. */
export function nextRows(asked: number, loaded: Loaded, most: number): number {
  return loaded.works.length < asked ? Math.min(most, 2 * loaded.works.length) : Math.min(most, 2 * asked)
}

/** The rows are larger than `most` bytes together. */
class TooMuch extends Error {}

/** As `loadItems`, of so many of the first works as a batch has room for; one by itself is loaded however large it is. */
export async function loadBatch(sides: PairSides, work: PairWork, works: readonly WorkItem[]): Promise<Loaded> {
  const most = Math.min(BATCH_BYTES, 4 * sides.sync.batch.bytes)
  for (let some = works; ; some = some.slice(0, some.length >> 1))
    try {
      return await loadItems(sides, work, some, some.length > 1 ? most : Number.POSITIVE_INFINITY)
    } catch (error) {
      if (!(error instanceof TooMuch)) throw error
    }
}

/** `work`: the list that the items are on; it knows rows met in this run. */
export async function loadItems(
  sides: PairSides,
  work: PairWork,
  works: readonly WorkItem[],
  most = Number.POSITIVE_INFINITY,
): Promise<Loaded> {
  const { memory, pairing, project, sync } = sides
  const pairs = new Map(
    (await memory.byIds(works.flatMap(({ pair }) => (pair === null ? [] : [pair])))).map((pair) => [pair.id, pair]),
  )
  const lone = works.filter((work): work is WorkItem & { pair: null } => work.pair === null)
  const asked = { left: new Set<string>(), right: new Set<string>() }
  const rows: Rows = { left: new Map(), right: new Map(), asked, bytes: 0, most }
  const unreadable: Unreadable = { left: new Map(), right: new Map() }
  for (const side of sideNames) {
    const paired = [...pairs.values()].map((pair) => pair[side])
    const alone = lone.filter((work) => work.side === side).map(({ key }) => key)
    await fetchRows(sides, side, { paired, alone }, rows, unreadable)
  }
  const known = { left: new Map<string, Unpaired>(), right: new Map<string, Unpaired>() }
  for (const side of sideNames) {
    const keys = lone.filter((work) => work.side === side).map(({ key }) => key)
    for (const one of await memory.unpaired(side, keys)) known[side].set(one.key, one)
  }
  const moved = await findMoved(sides, work, pairs, rows, unreadable)
  const left = lone.filter((work) => !moved.taken.has(`${work.side}${work.key}`))
  const matched = await matchLone(sides, work, left, rows, unreadable)
  const conflicts = await project.store.pairs.conflicts.ofPairs(sync.id, [...pairs.keys()])
  const items: LoadedItem[] = []
  for (const work of works) {
    if (work.pair === null) continue
    const stored = pairs.get(work.pair)
    if (stored === undefined) continue
    const pair = moved.pairs.get(stored.id)?.pair ?? stored
    const cells = cellsOfPair(sides, pair)
    const own = conflicts.filter((conflict) => conflict.pair === pair.id)
    items.push({
      work,
      pair,
      keys: { left: pair.left, right: pair.right },
      item: {
        base: baseOf(sides.layout.mode, cells, sides.types),
        left: rows.left.get(pair.left) ?? null,
        right: rows.right.get(pair.right) ?? null,
        held: heldOf(sides, own),
      },
      conflicts: own,
      unreadable: unreadable.left.get(pair.left) ?? unreadable.right.get(pair.right) ?? null,
      match: null,
      unpaired: null,
      moved: moved.pairs.get(pair.id)?.side ?? null,
    })
  }
  const gone: Loaded['gone'][number][] = []
  for (const work of left) {
    const { side, key } = work
    if (matched.taken.has(`${side}${key}`)) continue
    const row = rows[side].get(key) ?? null
    const broken = unreadable[side].get(key) ?? null
    if (row === null && broken === null) {
      gone.push({ side, key })
      continue
    }
    items.push({
      work,
      pair: null,
      keys: { left: side === 'left' ? key : null, right: side === 'right' ? key : null },
      item: {
        base: null,
        left: side === 'left' ? row : null,
        right: side === 'right' ? row : null,
        held: new Map(),
      },
      conflicts: [],
      unreadable: broken,
      match: row === null ? null : pairing.matchOf(side, row),
      unpaired: known[side].get(key) ?? null,
      moved: null,
    })
  }
  const translated = await translateReferences(sides, items)
  return {
    items: translated,
    meetings: matched.meetings,
    ambiguities: matched.ambiguities,
    gone,
    works,
  }
}

/** Of pairs, and of rows without a pair: of those, what an earlier batch did not find stays gone for this run. */
async function fetchRows(
  sides: PairSides,
  side: SideName,
  { paired, alone }: { readonly paired: readonly string[]; readonly alone: readonly string[] },
  rows: Rows,
  unreadable: Unreadable,
): Promise<void> {
  const gone = sides.gone[side]
  const keys = [...paired, ...alone.filter((key) => !gone.has(key))]
  await fetchKeys(
    sides,
    side,
    keys.filter((key) => !rows.asked[side].has(key)),
    rows,
    unreadable,
  )
  for (const key of alone) if (!rows[side].has(key) && !unreadable[side].has(key)) gone.add(key)
}

async function fetchKeys(
  sides: PairSides,
  side: SideName,
  wanted: readonly string[],
  rows: Rows,
  unreadable: Unreadable,
): Promise<void> {
  if (wanted.length === 0) return
  for (const key of wanted) rows.asked[side].add(key)
  const bound = sides.pairing[side]
  const parsed = wanted.map(parseKeyText).filter(isWhole)
  if (parsed.length < wanted.length) {
    const keyless = await sides.keyless(side)
    for (const key of wanted) {
      const refusal = keyless.get(key)
      if (refusal !== undefined) unreadable[side].set(key, refusal)
    }
  }
  const before = rows.bytes
  // What was fetched tells how many more there is room for.
  for (let start = 0, count = FIRST_KEYS; start < parsed.length; ) {
    const chunk = await sides.collections[side].lookup.fetch(parsed.slice(start, start + count), bound.fields)
    start += count
    rows.bytes += chunk.bytes
    if (rows.bytes > rows.most) throw new TooMuch()
    for (const row of chunk.rows) rows[side].set(keyText(keyOfSide(bound, row)), row)
    for (const { key, code, message } of chunk.rejects) unreadable[side].set(keyText(key), { code, message })
    const each = (rows.bytes - before) / start
    const room = Math.min(BATCH_BYTES, rows.most) - rows.bytes
    count = Math.max(1, Math.min(16 * count, Math.floor(room / Math.max(1, each))))
  }
  const duplicates = sides.duplicates[side]
  if (duplicates.size === 0) return
  for (const key of wanted) {
    const refusal = duplicates.get(key)
    if (refusal !== undefined && rows[side].delete(key)) unreadable[side].set(key, refusal)
  }
}

/** Pairs that lost a row on one side, where exactly one row without a pair has the match of the other: its key was changed. */
async function findMoved(
  sides: PairSides,
  work: PairWork,
  pairs: ReadonlyMap<number, StoredPair>,
  rows: Rows,
  unreadable: Unreadable,
): Promise<{ pairs: Map<number, { pair: StoredPair; side: SideName }>; taken: Set<string> }> {
  const { pairing, sync } = sides
  const found = { pairs: new Map<number, { pair: StoredPair; side: SideName }>(), taken: new Set<string>() }
  if (sync.match.length === 0) return found
  for (const side of sideNames) {
    const there = otherSide(side)
    const lost = [...pairs.values()].flatMap((pair) => {
      const row = rows[there].get(pair[there])
      const match = row === undefined ? null : pairing.matchOf(there, row)
      const gone = !rows[side].has(pair[side]) && !unreadable[side].has(pair[side])
      return gone && match !== null ? [{ pair, match }] : []
    })
    if (lost.length === 0) continue
    const partners = await work.partners(
      side,
      lost.map(({ match }) => match),
    )
    const alone = partners.map(({ key }) => key)
    await fetchRows(sides, side, { paired: [], alone }, rows, unreadable)
    const keys = new Map<string, string[]>()
    for (const { key } of partners) {
      const row = rows[side].get(key)
      const match = row === undefined ? null : pairing.matchOf(side, row)
      if (match !== null) keys.set(match, [...(keys.get(match) ?? []), key])
    }
    for (const { pair, match } of lost) {
      const [key, ...others] = keys.get(match) ?? []
      const rivals = lost.filter((one) => one.match === match).length
      if (key === undefined || others.length > 0 || rivals > 1) continue
      found.pairs.set(pair.id, { pair: { ...pair, [side]: key }, side })
      found.taken.add(`${side}${key}`)
    }
  }
  return found
}

interface Matched {
  readonly meetings: Meeting[]
  readonly ambiguities: Ambiguity[]
  /** Side and key of rows that met or are ambiguous. */
  readonly taken: Set<string>
}

/** Finds partners of rows without a pair. What the memory says of a match is checked against the rows as they are now. */
async function matchLone(
  sides: PairSides,
  work: PairWork,
  lone: readonly (WorkItem & { pair: null })[],
  rows: Rows,
  unreadable: Unreadable,
): Promise<Matched> {
  const { pairing } = sides
  const matched: Matched = { meetings: [], ambiguities: [], taken: new Set() }
  const matches = new Set<string>()
  for (const { side, key } of lone) {
    const row = rows[side].get(key)
    const match = row === undefined ? null : pairing.matchOf(side, row)
    if (match !== null) matches.add(match)
  }
  if (matches.size === 0) return matched
  const groups = new Map<string, Record<SideName, string[]>>()
  const groupOf = (match: string) => {
    const group = groups.get(match) ?? { left: [], right: [] }
    groups.set(match, group)
    return group
  }
  for (const side of sideNames) {
    const remembered = (await work.partners(side, [...matches])).map(({ key }) => key)
    const candidates = new Set([...remembered, ...lone.filter((work) => work.side === side).map(({ key }) => key)])
    await fetchRows(sides, side, { paired: [], alone: [...candidates] }, rows, unreadable)
    for (const key of candidates) {
      const row = rows[side].get(key)
      const match = row === undefined ? null : pairing.matchOf(side, row)
      if (match !== null && matches.has(match)) groupOf(match)[side].push(key)
    }
  }
  const workOf = new Map(lone.map((work) => [`${work.side}${work.key}`, work]))
  for (const [match, keys] of groups) {
    if (keys.left.length === 0 || keys.right.length === 0) continue
    for (const side of sideNames) for (const key of keys[side]) matched.taken.add(`${side}${key}`)
    const [left, right] = [keys.left[0] as string, keys.right[0] as string]
    if (keys.left.length > 1 || keys.right.length > 1) {
      const shown = (side: SideName) => keys[side].map((key) => matchedRow(sides, side, key, rows[side].get(key)))
      matched.ambiguities.push({ match, keys, rows: { left: shown('left'), right: shown('right') } })
      continue
    }
    matched.meetings.push({
      works: [workOf.get(`left${left}`), workOf.get(`right${right}`)].filter((work) => work !== undefined),
      keys: { left, right },
      rows: { left: rows.left.get(left) as Row, right: rows.right.get(right) as Row },
    })
  }
  return matched
}

export function matchedRow(
  { sync, pairing }: PairSides,
  side: SideName,
  key: string,
  row: Row | undefined,
): MatchedRow {
  const values = sync.match.map(({ field }) => {
    const at = pairing.fields.findIndex(({ name }) => name === field)
    return [field, keyText([canonical(pairing.fields[at]?.[side].type ?? 'text', row?.[at] ?? null)])] as const
  })
  return [key, Object.fromEntries(values)]
}

/** What is on record about a pair's fields, as reconcile asks for it. */
function heldOf(sides: PairSides, conflicts: readonly ConflictRecord[]): Item['held'] {
  const held = new Map<number | null, Held>()
  for (const conflict of conflicts) {
    if (conflict.kind === 'delete') {
      held.set(null, heldDeletion(sides, conflict))
      continue
    }
    for (const [name, field] of Object.entries(conflict.fields)) {
      if (field.status !== 'open' && field.status !== 'decided') continue
      const at = sides.pairing.fields.findIndex((bound) => bound.name === name)
      if (at === -1) continue
      const [, left = null, right = null] = parseKeyText(field.values)
      const frozen = field.rule === 'oscillation'
      held.set(at, { take: resolutionOf(sides, at, field.take), left, right, frozen })
    }
  }
  return held
}

/** Of the two images, the deleted row's is empty. */
function heldDeletion({ pairing }: PairSides, { fields }: ConflictRecord): Held {
  const values = pairing.fields.map(({ name }) => parseKeyText(ownValue(fields, name)?.values ?? '[]'))
  const image = values.map(([, left = null, right = null]) => left ?? right)
  const take = Object.values(fields).find((field) => field.take !== undefined)?.take
  return { take: take !== undefined && 'side' in take ? take : null, left: null, right: null, image, frozen: false }
}

function resolutionOf(sides: PairSides, at: number, take: ConflictRecord['fields'][string]['take']): Resolution | null {
  if (take === undefined) return null
  if ('side' in take) return take
  const field = sides.pairing.fields[at]
  const given = parseKeyText(take.set)[0] ?? null
  return { set: field === undefined ? given : givenValue(field, given) }
}

/** Gives each item a way to translate its references; all of them are looked up at once. */
async function translateReferences(sides: PairSides, items: readonly LoadedItem[]): Promise<LoadedItem[]> {
  const { pairing, project, sync } = sides
  const references = pairing.fields.flatMap((field, at) => (field.references === null ? [] : [{ field, at }]))
  if (references.length === 0) return [...items]
  const found = new Map<string, ReadonlyMap<string, string>>()
  for (const { field, at } of references) {
    for (const side of sideNames) {
      const keys = items.flatMap(({ item }) => {
        const value = item[side]?.[at] ?? null
        return value === null ? [] : [keyText([canonical(field[side].type, value)])]
      })
      found.set(
        `${at}${side}`,
        await project.store.pairs.counterparts(field.references as string, side, [...new Set(keys)]),
      )
    }
  }
  const cross = (at: number, from: SideName, value: Value): Value | typeof missingParent => {
    const field = pairing.fields[at]
    if (field === undefined) return null
    if (field.references === null || value === null) return field.cross(from, value)
    const other = found.get(`${at}${from}`)?.get(keyText([canonical(field[from].type, value)]))
    return other === undefined ? missingParent : (parseKeyText(other)[0] ?? null)
  }
  const parentLater = (at: number): boolean => {
    const field = pairing.fields[at]
    if (field?.references == null || !sync.cycle.includes(field.references)) return false
    return field.left.nullable && field.right.nullable
  }
  return items.map((loaded) => ({ ...loaded, item: { ...loaded.item, cross, parentLater } }))
}
