/**
 * What to do about one item: the reconcile table as one pure function. A base holds what each side reported when both
 * last agreed, so a side has changed where it differs from its own base, and an echo of our own write has not.
 */
import { fromFunction } from './convert.ts'
import { asSyncError, endsRun, type SyncError } from './error.ts'
import { type BoundField, type Pairing, same } from './pairing.ts'
import { ask, type Direction, otherSide, type Rule, ruleName, type SideName } from './two-way.ts'
import { equal, type Row, type Value } from './value.ts'

/** A pair's rows as both sides reported them when they last agreed. */
export interface Base {
  /** Whether the side still holds what it held; null: not known (the field came to the sync later). */
  unchanged(side: SideName, at: number, value: Value): boolean | null
  /** The value, where bases hold values. */
  value(side: SideName, at: number): Value
}

/** What was decided about a conflict that is still on record. */
export interface Held {
  /** Null: nobody has decided yet. */
  readonly take: Resolution | null
  /** The values the decision was made on; null when the record has none. */
  readonly left: Value
  readonly right: Value
  /** Of a deletion: the fields of the row that the other side changed, as the person saw them. */
  readonly image?: Row
  /** The field was seen to swing between values: nothing is written until a person decides. */
  readonly frozen: boolean
}
export type Resolution = { readonly side: SideName } | { readonly set: Value }

/** One logical row: its base, and what each side holds now. */
export interface Item {
  /** Null: the rows meet for the first time (or only one side has the row). */
  readonly base: Base | null
  readonly left: Row | null
  readonly right: Row | null
  /** Open conflicts by field; `null` stands for the row itself (a delete conflict). */
  readonly held: ReadonlyMap<number | null, Held>
  /** Rows that are to stay would go with the row that is left: it counts as changed. */
  readonly depended?: boolean
  /** The other side's form of a value; `missingParent` where a reference has no counterpart yet. Default: the field's own. */
  readonly cross?: (at: number, from: SideName, value: Value) => Value | typeof missingParent
  /** Whether a row whose parent is missing here is inserted without it, and patched later: for cycles of references. */
  readonly parentLater?: (at: number) => boolean
}

/** A reference to a row that the other side doesn't have yet. */
export const missingParent: unique symbol = Symbol('missing parent')

export interface Cell {
  readonly at: number
  readonly value: Value
}

export type Action =
  /** `cells` are all fields that flow this way; the others get the system's default. */
  | { readonly kind: 'insert'; readonly cells: readonly Cell[]; readonly reason: string }
  | {
      readonly kind: 'update'
      readonly cells: readonly (Cell & { readonly reason: string })[]
    }
  | { readonly kind: 'delete'; readonly reason: string }

/** A conflict to put on record. `at` null: one side deleted the row and the other changed it. */
export interface Conflict {
  readonly at: number | null
  /** The rule that decided, or `ask`. */
  readonly rule: string
  /** `open`: left to a person. */
  readonly outcome: SideName | 'value' | 'open'
  readonly base: Value
  readonly left: Value
  readonly right: Value
}

export interface Decision {
  /** What to write on each side. */
  readonly left: Action | null
  readonly right: Action | null
  /** Fields whose base becomes what both sides hold now. */
  readonly settled: readonly number[]
  readonly conflicts: readonly Conflict[]
  /** Fields (null: the row) whose recorded conflict is over, and how it ended: the sides agree by themselves, or a decision is carried out. */
  readonly ended: readonly { readonly at: number | null; readonly how: 'agreed' | 'resolved' }[]
  /** `close`: both rows are gone. `part`: the remaining row is left alone from now on. */
  readonly pair: 'keep' | 'close' | 'part'
  /** A reference has no counterpart yet: look at the item again later. */
  readonly deferred: boolean
  /** Values that the other side can't take: nothing is written. */
  readonly refused: SyncError | null
}

const nothing: Decision = {
  left: null,
  right: null,
  settled: [],
  conflicts: [],
  ended: [],
  pair: 'keep',
  deferred: false,
  refused: null,
}

/** Decides. Never throws for values: what can't cross over is `refused`. */
export function reconcile(item: Item, pairing: Pairing): Decision {
  try {
    const { left, right } = item
    if (left !== null && right !== null) return both(item, left, right, pairing)
    if (left === null && right === null) return { ...nothing, pair: 'close', ended: allEnded(item) }
    const there: SideName = left === null ? 'right' : 'left'
    const row = (left ?? right) as Row
    return item.base === null ? created(item, there, row, pairing) : deleted(item, item.base, there, row, pairing)
  } catch (error) {
    if (endsRun(error)) throw error
    return { ...nothing, refused: asSyncError(error) }
  }
}

/** Both rows are there: field by field. */
function both(item: Item, left: Row, right: Row, pairing: Pairing): Decision {
  const cells: Record<SideName, (Cell & { reason: string })[]> = { left: [], right: [] }
  const settled: number[] = []
  const conflicts: Conflict[] = []
  const ended: Decision['ended'][number][] = []
  let deferred = false
  /** Whether the write is decided; a missing parent leaves the field for later. */
  const write = (to: SideName, at: number, reason: string): boolean => {
    const from = otherSide(to)
    const value = cross(item, pairing, at, from, (from === 'left' ? left : right)[at] ?? null)
    if (value === missingParent) deferred = true
    else cells[to].push({ at, value, reason })
    return value !== missingParent
  }
  pairing.fields.forEach((field, at) => {
    const values = { left: left[at] ?? null, right: right[at] ?? null }
    const state = changesOf(item.base, at, values)
    const held = item.held.get(at)
    if (state === 'unknown') settled.push(at)
    else if (state === 'none' || (state === 'both' && agree(item, field, at, values))) {
      if (state === 'both') settled.push(at)
      if (held !== undefined) ended.push({ at, how: held.take === null ? 'agreed' : 'resolved' })
    } else if (held !== undefined && (held.take !== null || held.frozen || state === 'both'))
      heldField(field, at, held, values)
    else {
      if (held !== undefined) ended.push({ at, how: 'agreed' })
      if (state === 'both') disagree(field, at, values)
      else flow(field, state, at)
    }
  })

  /** One side changed. */
  function flow(field: BoundField, changed: SideName, at: number): void {
    const other = otherSide(changed)
    if (agree(item, field, at, { left: left[at] ?? null, right: right[at] ?? null })) settled.push(at)
    else if (flows(field.direction, changed)) write(other, at, `${changed} changed`)
    else if (field.edits === 'revert' && write(changed, at, `${changed} is written by this sync only`))
      conflicts.push(conflictOf(at, field.direction, other))
    // An ignored edit is never agreed: what writes over it one day is a conflict.
  }

  /** Both sides changed, differently. */
  function disagree(field: BoundField, at: number, values: Record<SideName, Value>): void {
    if (field.direction !== 'both') {
      const winner: SideName = field.direction === 'left-to-right' ? 'left' : 'right'
      if (write(otherSide(winner), at, `rule ${field.direction}`))
        conflicts.push(conflictOf(at, field.direction, winner))
      return
    }
    const decided = decide(field, at, item.base, values, left, right, pairing)
    if (decided === 'open' && field.matches(values.left, values.right)) settled.push(at)
    else if (decided === 'open') conflicts.push(conflictOf(at, ruleName(field.rule), 'open'))
    else if (typeof decided === 'string') {
      if (write(otherSide(decided), at, `rule ${ruleName(field.rule)}`))
        conflicts.push(conflictOf(at, ruleName(field.rule), decided))
    } else if (writeValue(field, at, decided.value, values, `rule ${ruleName(field.rule)}`))
      conflicts.push(conflictOf(at, ruleName(field.rule), 'value'))
  }

  /** A value that is neither side's, in the left side's form. */
  function writeValue(
    field: BoundField,
    at: number,
    value: Value,
    values: Record<SideName, Value>,
    reason: string,
  ): boolean {
    const crossed = cross(item, pairing, at, 'left', value)
    if (crossed === missingParent) {
      deferred = true
      return false
    }
    if (!equal(field.left.type, value, values.left)) cells.left.push({ at, value, reason })
    if (!equal(field.right.type, crossed, values.right)) cells.right.push({ at, value: crossed, reason })
    if (!cells.left.some((cell) => cell.at === at) && !cells.right.some((cell) => cell.at === at)) settled.push(at)
    return true
  }

  /** A field on record as a conflict stays as it is until a person decides, and the decision still fits what they saw. */
  function heldField(field: BoundField, at: number, held: Held, values: Record<SideName, Value>): void {
    const { take } = held
    if (take === null) {
      conflicts.push(conflictOf(at, 'ask', 'open'))
      return
    }
    const seen = (side: SideName) => equal(field[side].type, held[side], values[side])
    const fits = 'set' in take ? seen('left') && seen('right') : seen(otherSide(take.side))
    if (!fits) {
      // The value that would be overwritten is not the one the person saw.
      conflicts.push(conflictOf(at, 'ask', 'open'))
      return
    }
    const done =
      'set' in take
        ? writeValue(field, at, take.set, values, 'resolved by a person')
        : write(otherSide(take.side), at, `resolved by a person: ${take.side}`)
    if (done) ended.push({ at, how: 'resolved' })
  }

  function conflictOf(at: number, rule: string, outcome: Conflict['outcome']): Conflict {
    return {
      at,
      rule,
      outcome,
      base: item.base?.value('left', at) ?? null,
      left: left[at] ?? null,
      right: right[at] ?? null,
    }
  }

  // The row is there on both sides: what was open about its deletion is over.
  if (item.held.has(null)) ended.push({ at: null, how: 'agreed' })
  const action = (side: SideName): Action | null =>
    cells[side].length === 0 ? null : { kind: 'update', cells: cells[side] }
  return { ...nothing, left: action('left'), right: action('right'), settled, conflicts, ended, deferred }
}

/** Which side differs from its base. Rows that meet for the first time count as changed on both. */
function changesOf(
  base: Base | null,
  at: number,
  values: Record<SideName, Value>,
): 'none' | 'both' | 'unknown' | SideName {
  if (base === null) return 'both'
  const left = base.unchanged('left', at, values.left)
  const right = base.unchanged('right', at, values.right)
  if (left === null || right === null) return 'unknown'
  return left ? (right ? 'none' : 'right') : right ? 'left' : 'both'
}

/** Whether two values mean the same, references translated. */
function agree(item: Item, field: BoundField, at: number, values: Record<SideName, Value>): boolean {
  if (item.cross === undefined || field.references === null) return same(field, values.left, values.right)
  const right = item.cross(at, 'left', values.left)
  return right !== missingParent && equal(field.right.type, right, values.right)
}

function cross(item: Item, pairing: Pairing, at: number, from: SideName, value: Value): Value | typeof missingParent {
  if (item.cross !== undefined) return item.cross(at, from, value)
  return (pairing.fields[at] as BoundField).cross(from, value)
}

export function flows(direction: Direction, from: SideName): boolean {
  return direction === 'both' || direction === (from === 'left' ? 'left-to-right' : 'right-to-left')
}

/** Only one side has the row, and no pair. */
function created(item: Item, there: SideName, row: Row, pairing: Pairing): Decision {
  if (!flows(pairing.sync.direction, there)) return { ...nothing, pair: 'part' }
  return insertInto(item, otherSide(there), row, pairing, `${there} created`)
}

function insertInto(item: Item, to: SideName, row: Row, pairing: Pairing, reason: string): Decision {
  const from = otherSide(to)
  const cells: Cell[] = []
  let deferred = false
  let orphan = false
  pairing.fields.forEach((field, at) => {
    if (!flows(field.direction, from)) return
    const value = cross(item, pairing, at, from, row[at] ?? null)
    if (value !== missingParent) cells.push({ at, value })
    else if (item.parentLater?.(at) === true) deferred = true
    else orphan = true
  })
  if (orphan) return { ...nothing, deferred: true }
  return { ...nothing, [to]: { kind: 'insert', cells, reason }, deferred }
}

/** One row of a pair is gone. */
function deleted(item: Item, base: Base, there: SideName, row: Row, pairing: Pairing): Decision {
  const { sync } = pairing
  const gone = otherSide(there)
  const edits = pairing.fields.filter((_field, at) => base.unchanged(there, at, row[at] ?? null) === false)
  const changed = item.depended === true || edits.some(({ direction }) => flows(direction, there))
  const ended = [...item.held.keys()].filter((at) => at !== null).map((at) => ({ at, how: 'agreed' as const }))
  const held = item.held.get(null)
  // A deletion only flows the way the sync does.
  if (!flows(sync.direction, gone)) {
    return changed && sync.onDeleteConflict === 'keep' && flows(sync.direction, there)
      ? restored(`${gone} deleted, ${there} changed: keep`, 'keep', there)
      : { ...nothing, pair: 'part', ended: allEnded(item) }
  }
  if (held !== undefined && held.take !== null) {
    const keeps = 'set' in held.take || held.take.side === there
    // What would be deleted is not what the person saw.
    const moved = pairing.fields.some(
      (field, at) => !equal(field[there].type, held.image?.[at] ?? null, row[at] ?? null),
    )
    if (!keeps && moved) return { ...nothing, conflicts: [conflict('ask', 'open')], ended }
    const done = keeps
      ? insertInto(item, gone, row, pairing, 'resolved by a person: keep')
      : drop('resolved by a person')
    return done.deferred ? done : { ...done, ended: [...ended, { at: null, how: 'resolved' }] }
  }
  if (held === undefined && !changed) {
    if (sync.deletes === 'keep') return { ...nothing, pair: 'part', ended }
    // An edit that does not flow to the other side keeps no row alive, but it is not lost.
    const conflicts = edits.slice(0, 1).map(({ direction }) => conflict(direction, gone))
    return { ...drop(`${gone} deleted`), conflicts, ended }
  }
  if (held !== undefined || sync.onDeleteConflict === 'ask')
    return { ...nothing, conflicts: [conflict('ask', 'open')], ended }
  if (sync.onDeleteConflict === 'keep') return restored(`${gone} deleted, ${there} changed: keep`, 'keep', there)
  return {
    ...drop(`${gone} deleted, ${there} changed: delete`),
    conflicts: [conflict('delete', gone)],
    ended,
  }

  function conflict(rule: string, outcome: Conflict['outcome']): Conflict {
    return { at: null, rule, outcome, base: null, left: null, right: null }
  }
  function drop(reason: string): Decision {
    return { ...nothing, [there]: { kind: 'delete', reason } }
  }
  function restored(reason: string, rule: string, winner: SideName): Decision {
    const decision = insertInto(item, gone, row, pairing, reason)
    return decision[gone] === null ? decision : { ...decision, conflicts: [conflict(rule, winner)], ended }
  }
}

function allEnded(item: Item): Decision['ended'] {
  return [...item.held.keys()].map((at) => ({ at, how: 'agreed' }))
}

/** The rule's word on a field that both sides changed differently. */
function decide(
  field: BoundField,
  at: number,
  base: Base | null,
  values: Record<SideName, Value>,
  left: Row,
  right: Row,
  pairing: Pairing,
): SideName | 'open' | { readonly value: Value } {
  const { rule } = field
  if (typeof rule === 'function') return askFunction(rule, field, at, base, values)
  switch (rule) {
    case 'left':
    case 'right':
      return rule
    case 'ask':
      return 'open'
    case 'newest':
      return newest(left, right, pairing)
  }
}

/** The side with the later stamp; a person is asked where nobody can tell. */
function newest(left: Row, right: Row, { newer, ...sides }: Pairing): SideName | 'open' {
  const stamp = (row: Row, at: number | null) => (at === null ? null : (row[at] ?? null))
  return newer?.(stamp(left, sides.left.stampAt), stamp(right, sides.right.stampAt)) ?? 'open'
}

function askFunction(
  rule: Exclude<Rule, string>,
  field: BoundField,
  at: number,
  base: Base | null,
  values: Record<SideName, Value>,
): 'open' | { readonly value: Value } {
  const right = field.cross('right', values.right)
  const result = rule(base?.value('left', at) ?? null, values.left, right)
  if (result === ask || result === 'ask') return 'open'
  return { value: fromFunction(field.left.type, result, `onConflict of field ${field.name}`) }
}

/** What a person gave, as the left side's type. */
export function givenValue(field: BoundField, given: unknown): Value {
  return fromFunction(field.left.type, given, 'a person')
}
