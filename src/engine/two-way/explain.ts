/** A row's story: its pair, its base, what both sides hold now, and what was written to it and why. */
import { baseOf } from '../../core/base.ts'
import { fromFunction } from '../../core/convert.ts'
import { SyncError } from '../../core/error.ts'
import { keyText, parseKeyText } from '../../core/key-text.ts'
import { keyOfSide } from '../../core/pairing.ts'
import type { PrintedKey } from '../../core/run.ts'
import { type SideName, sideNames, type TwoWaySync } from '../../core/two-way.ts'
import { canonical, type Type, type Value } from '../../core/value.ts'
import type { ConflictRecord, JournalEntry, Pending, StoredPair, Unpaired } from '../../store/pairs.ts'
import type { Project } from '../project.ts'
import { openPairSides } from './open.ts'
import { cellsOfPair, type PairSides } from './pair-sides.ts'
import { printSideKey } from './plan.ts'

export interface Story {
  readonly sync: string
  /** Null: the row has no pair. */
  readonly pair: { readonly left: PrintedKey; readonly right: PrintedKey } | null
  /** Why it has none, where that is known. */
  readonly unpaired: Pick<Unpaired, 'side' | 'state' | 'message'> | null
  /** Why its pair is looked at again on every run; null: it is not. */
  readonly waiting: Pick<Pending, 'state' | 'code' | 'message'> | null
  readonly fields: Readonly<
    Record<string, { readonly base: Value; readonly left: Value | undefined; readonly right: Value | undefined }>
  >
  /** Whether each side has the row now. */
  readonly there: Readonly<Record<SideName, boolean>>
  readonly conflicts: readonly ConflictRecord[]
  /** Newest first. */
  readonly writes: readonly JournalEntry[]
}

const WRITES = 10

/** `text`: a key as people write it: `5`, or `5,de` for one of two parts; of the left side, else of the right. */
export async function whyRow(sync: TwoWaySync, project: Project, text: string): Promise<Story> {
  await using sides = await openPairSides(sync, project)
  const { memory, pairing } = sides
  let best: { side: SideName; key: string } | null = null
  for (const side of sideNames) {
    const key = parseKey(sides, side, text)
    if (key === null) continue
    const [pair] = await memory.byKeys(side, [key])
    if (pair !== undefined) return await story(sides, side, key, pair, null)
    const [unpaired] = await memory.unpaired(side, [key])
    if (unpaired !== undefined) return await story(sides, side, key, null, unpaired)
    const written = await project.store.pairs.journal.ofRow(sync.id, side, key, 1)
    const rows = await sides.collections[side].lookup.fetch([parseKeyText(key)], pairing[side].fields)
    if (best === null && (written.length > 0 || rows.rows.length > 0)) best = { side, key }
  }
  if (best !== null) return await story(sides, best.side, best.key, null, null)
  throw new SyncError('ROW_UNKNOWN', `sync ${sync.id} knows no row ${text}`, {
    hint: `Give the key as the left or right side has it (${sideNames.map((side) => `${side}: ${pairing[side].schema.key.join(', ')}`).join('; ')}); parts are separated by commas.`,
  })
}

async function story(
  sides: PairSides,
  side: SideName,
  key: string,
  pair: StoredPair | null,
  unpaired: Unpaired | null,
): Promise<Story> {
  const { pairing, project, sync } = sides
  const rows = { left: null, right: null } as Record<SideName, readonly Value[] | null>
  for (const one of sideNames) {
    const own = pair === null ? (one === side ? key : null) : pair[one]
    if (own === null) continue
    const chunk = await sides.collections[one].lookup.fetch([parseKeyText(own)], pairing[one].fields)
    rows[one] = chunk.rows.find((row) => keyText(keyOfSide(pairing[one], row)) === own) ?? null
  }
  const base = pair === null ? null : baseOf(sides.layout.mode, cellsOfPair(sides, pair), sides.types)
  const conflicts = pair === null ? [] : await project.store.pairs.conflicts.ofPairs(sync.id, [pair.id])
  return {
    sync: sync.id,
    pair:
      pair === null
        ? null
        : { left: printSideKey(sides, 'left', pair.left), right: printSideKey(sides, 'right', pair.right) },
    unpaired,
    waiting: pair === null ? null : await waitingOf(sides, pair),
    fields: Object.fromEntries(
      pairing.fields.map(({ name }, at) => [
        name,
        { base: base?.value('left', at) ?? null, left: rows.left?.[at], right: rows.right?.[at] },
      ]),
    ),
    there: { left: rows.left !== null, right: rows.right !== null },
    conflicts,
    writes: await project.store.pairs.journal.ofRow(sync.id, side, key, WRITES),
  }
}

async function waitingOf({ memory }: PairSides, { id }: StoredPair): Promise<Story['waiting']> {
  const found = (await memory.waiting()).pairs.find(({ pair }) => pair === id)
  return found === undefined ? null : { state: found.state, code: found.code, message: found.message }
}

/** Null: the text is no key of that side. */
function parseKey({ pairing }: PairSides, side: SideName, text: string): string | null {
  const { keyTypes } = pairing[side]
  const parts = keyTypes.length === 1 ? [text] : text.split(',').map((part) => part.trim())
  if (parts.length !== keyTypes.length) return null
  try {
    return keyText(
      parts.map((part, at) => canonical(keyTypes[at] as Type, fromFunction(keyTypes[at] as Type, part, 'the key'))),
    )
  } catch {
    return null
  }
}
