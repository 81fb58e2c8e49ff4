/**
 * Fields that swing: two systems each make their own of a value, and each run would write what the last but one wrote. What a pair's runs
 * wrote is remembered with it.
 */
import { keyText, parseKeyText } from '../../core/key-text.ts'
import { ownValue } from '../../core/own-value.ts'
import type { Action, Decision } from '../../core/reconcile.ts'
import type { Value } from '../../core/value.ts'
import type { Changes } from './changes.ts'
import type { Prepared } from './intents.ts'
import type { LoadedItem } from './load.ts'
import type { PairSides } from './pair-sides.ts'

/** What a run wrote to a field, left and right; null: nothing. */
type Written = readonly [left: string | null, right: string | null]

interface Recent {
  /** The number of the run that wrote. */
  readonly run: number
  /** By field: the last two runs, if they follow each other, oldest first. */
  readonly cells: Readonly<Record<string, readonly Written[]>>
}

/**
 * A field that this sync is about to write for the third run running, as it did in the last but one, swings between two
 * systems that correct each other: it is frozen and reported.
 */
export function breakSwings(sides: PairSides, one: LoadedItem, decision: Decision): Decision {
  const recent = recentOf(one.pair?.recent ?? null)
  if (recent === null || recent.run !== sides.state.runs) return decision
  const cells = { left: cellsOf(decision.left), right: cellsOf(decision.right) }
  const swings = new Set<number>()
  for (const at of new Set([...cells.left.keys(), ...cells.right.keys()])) {
    const [before, last] = ownValue(recent.cells, nameAt(sides, at)) ?? []
    const next = JSON.stringify([cells.left.get(at) ?? null, cells.right.get(at) ?? null])
    if (last !== undefined && JSON.stringify(before) === next && JSON.stringify(last) !== next) swings.add(at)
  }
  if (swings.size === 0) return decision
  const { base, left, right } = one.item
  const conflicts = [...swings].map((at) => ({
    at,
    rule: 'oscillation',
    outcome: 'open' as const,
    base: base?.value('left', at) ?? null,
    left: left?.[at] ?? null,
    right: right?.[at] ?? null,
  }))
  return {
    ...decision,
    left: without(decision.left, swings),
    right: without(decision.right, swings),
    conflicts: [...decision.conflicts.filter(({ at }) => at === null || !swings.has(at)), ...conflicts],
  }
}

/** Remembers what was written to a field in the last two runs, if they follow each other. */
export function rememberWrite(sides: PairSides, changes: Changes, prepared: Prepared, { pair }: LoadedItem): void {
  if (pair === null || prepared.kind !== 'update') return
  const now = sides.state.runs + 1
  const draft = changes.draft(pair)
  const known = recentOf(draft.recent)
  const follows = known?.run === now || known?.run === now - 1
  // What another write of this run left behind, or the run before.
  const cells = new Map<string, readonly Written[]>(known?.run === now ? Object.entries(known.cells) : [])
  const sent = parseKeyText(prepared.sent)
  prepared.at.forEach((at, i) => {
    const earlier = follows ? [...(ownValue(known.cells, nameAt(sides, at)) ?? [])] : []
    const [left, right] = (known?.run === now ? earlier.pop() : undefined) ?? [null, null]
    const value = spell(sent[i] ?? null)
    const written: Written = prepared.side === 'left' ? [value, right] : [left, value]
    cells.set(nameAt(sides, at), [...earlier, written].slice(-2))
  })
  draft.recent = JSON.stringify({ run: now, cells: Object.fromEntries(cells) })
  draft.changed = true
}

function nameAt({ pairing }: PairSides, at: number): string {
  return pairing.fields[at]?.name ?? ''
}

function cellsOf(action: Action | null): ReadonlyMap<number, string> {
  return new Map(action?.kind === 'update' ? action.cells.map(({ at, value }) => [at, spell(value)]) : [])
}

function without(action: Action | null, fields: ReadonlySet<number>): Action | null {
  if (action?.kind !== 'update') return action
  const cells = action.cells.filter(({ at }) => !fields.has(at))
  return cells.length === 0 ? null : { ...action, cells }
}

function spell(value: Value): string {
  return keyText([value])
}

function recentOf(text: string | null): Recent | null {
  return text === null ? null : (JSON.parse(text) as Recent)
}
