/** Takes down what was decided about an item, and what it asks of the systems. */
import { isHeldByReference } from '../../connectors/connector.ts'
import { type Action, type Decision, reconcile } from '../../core/reconcile.ts'
import { type SideName, sideNames } from '../../core/two-way.ts'
import type { ConflictChange } from '../../store/pairs.ts'
import { type Request, requestOf } from './apply.ts'
import { type Changes, conflictChanges } from './changes.ts'
import type { LoadedItem, Meeting } from './load.ts'
import { rowCells } from './pair-sides.ts'
import { aloneId } from './references.ts'
import type { RunUnderWay } from './under-way.ts'

/** Takes down what a decision says, and returns the writes it asks for. */
export function takeDecision(run: RunUnderWay, changes: Changes, one: LoadedItem, decision: Decision): Request[] {
  const { pair, item } = one
  if (pair !== null && one.moved !== null) {
    changes.draft(pair).changed = true
    changes.settle(one.moved, pair[one.moved])
  }
  if (decision.refused !== null) {
    refuse(run, changes, one, decision.refused)
    return []
  }
  const rows = { left: item.left, right: item.right }
  const records = (by: (about: { readonly at: number | null }) => boolean): ConflictChange[] => {
    const part = { conflicts: decision.conflicts.filter(by), ended: decision.ended.filter(by) }
    return pair === null ? [] : conflictChanges(run.sides, run.lease.run, pair, part, one.conflicts, rows)
  }
  const writes = sideNames.filter((side) => decision[side] !== null)
  // What a write decides is on record once that write is done; what stays open, at once.
  for (const record of records(({ at }) => !writes.some((side) => decides(decision[side], at))))
    changes.conflict(record)
  if (pair === null) {
    if (decision.pair === 'part' || one.unpaired?.state === 'parted') {
      keepAlone(changes, one, one.unpaired?.state === 'parted' ? 'parted' : 'alone')
      return []
    }
    if (decision.deferred && writes.length === 0) keepAlone(changes, one, 'deferred')
  } else {
    settlePair(run, changes, one, pair, decision)
  }
  if (writes.length === 0 && pair !== null) run.tally.add({ unchanged: 1 })
  return writes.map((side) => {
    const action = decision[side] as Action
    return requestOf(
      run.sides,
      one,
      side,
      action,
      records(({ at }) => decides(action, at)),
    )
  })
}

function settlePair(
  run: RunUnderWay,
  changes: Changes,
  one: LoadedItem,
  pair: NonNullable<LoadedItem['pair']>,
  decision: Decision,
): void {
  const { item } = one
  if (decision.pair !== 'keep') {
    changes.remove(pair)
    const there: SideName | null = item.left !== null ? 'left' : item.right !== null ? 'right' : null
    if (decision.pair === 'part' && there !== null) {
      const match = run.sides.pairing.matchOf(there, item[there] ?? [])
      changes.keep({ side: there, key: pair[there], match, state: 'parted', code: null, message: null })
    }
    return
  }
  const draft = changes.draft(pair)
  for (const at of decision.settled) {
    if (item.left !== null) changes.base(draft, 'left', at, item.left[at] ?? null)
    if (item.right !== null) changes.base(draft, 'right', at, item.right[at] ?? null)
  }
  if (decision.deferred) changes.pend({ pair: pair.id, state: 'deferred', code: null, message: null })
  else changes.unpend(pair.id)
}

function keepAlone(changes: Changes, one: LoadedItem, state: 'alone' | 'parted' | 'deferred'): void {
  const side: SideName = one.keys.left === null ? 'right' : 'left'
  changes.keep({ side, key: one.keys[side] as string, match: one.match, state, code: null, message: null })
}

export function refuse(
  run: RunUnderWay,
  changes: Changes,
  one: LoadedItem,
  { code, message }: { readonly code: string; readonly message: string },
): void {
  if (one.pair !== null) {
    const { id, left } = one.pair
    const state = waits(run, code, run.heldBack.pairs.has(id)) ? 'deferred' : 'rejected'
    if (state === 'rejected') run.refused.add(id, { side: 'left', key: left, code })
    changes.pend({ pair: id, state, code, message })
    return
  }
  const side: SideName = one.keys.left === null ? 'right' : 'left'
  const key = one.keys[side] as string
  const state = waits(run, code, run.heldBack.alone.has(aloneId(side, key))) ? 'deferred' : 'rejected'
  if (state === 'rejected') run.refused.add(null, { side, key, code })
  changes.keep({ side, key, match: one.match, state, code, message })
}

/** Makes two rows a pair. True when they agree in everything: then nothing is left to decide. */
export function meet(run: RunUnderWay, changes: Changes, { keys, rows }: Meeting): boolean {
  const { pairing } = run.sides
  const decision = reconcile({ base: null, ...rows, held: new Map() }, pairing)
  const agree =
    decision.settled.length === pairing.fields.length && pairing.fields.every(({ references }) => references === null)
  const cells = {
    left: rowCells(run.sides, pairing.left, rows.left),
    right: rowCells(run.sides, pairing.right, rows.right),
  }
  changes.pair(keys, agree ? cells : null)
  if (agree) run.tally.add({ unchanged: 1 })
  return agree
}

/** Other syncs may clear the way of a write that a reference refused; after they had their turn, it is rejected. */
function waits(run: RunUnderWay, code: string, heldBack: boolean): boolean {
  return isHeldByReference({ code }) && (run.lease.patient || !heldBack)
}

/** Whether a write carries out what was decided about a field; null: about the row. */
function decides(action: Action | null, at: number | null): boolean {
  if (action?.kind === 'update') return action.cells.some((cell) => cell.at === at)
  return action !== null
}
