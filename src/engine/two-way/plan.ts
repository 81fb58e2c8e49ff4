/** What a two-way run would do: on which side, which conflicts would open, and why. Writes nothing, not even to the store. */
import { holds } from '../../core/guard.ts'
import { parseKeyText } from '../../core/key-text.ts'
import { type Action, type Decision, type Item, reconcile } from '../../core/reconcile.ts'
import type { PrintedKey } from '../../core/run.ts'
import type { SchemaChange } from '../../core/schema.ts'
import type { SyncId } from '../../core/sync-id.ts'
import { otherSide, type SideName, sideNames, type TwoWaySync } from '../../core/two-way.ts'
import type { Row, Value } from '../../core/value.ts'
import type { PairWork } from '../../store/pairs.ts'
import { Tally } from '../observe/run-counts.ts'
import type { Project } from '../project.ts'
import { writeOf } from './apply.ts'
import { deletedRows, type Referring, type TakenAlong, takenAlong } from './dependents.ts'
import { type Detected, detect } from './detect.ts'
import { intendedWrites } from './intents.ts'
import { type LoadedItem, loadBatch, loadItems, type Meeting, nextRows } from './load.ts'
import { openPairSides } from './open.ts'
import type { PairSides } from './pair-sides.ts'
import { type HeldBack, heldBackByReferences } from './references.ts'
import { replacedSide } from './replaced-side.ts'

export interface TwoWayPlan {
  readonly sync: SyncId
  /** On both sides together. */
  readonly inserts: number
  readonly updates: number
  readonly deletes: number
  readonly left: SideCounts
  readonly right: SideCounts
  /** Rows that meet for the first time and become pairs. */
  readonly pairs: number
  /** Conflicts that a run would put on record, those a rule decides included. */
  readonly conflicts: number
  /** Rows whose values can't cross over. */
  readonly rejected: number
  readonly schema: readonly SchemaChange[]
  readonly reading: string
  readonly held: boolean
  /** What a person should know before the next run. */
  readonly warnings: readonly string[]
  readonly samples: readonly TwoWaySample[]
  readonly conflictSamples: readonly ConflictSample[]
}
export interface SideCounts {
  readonly inserts: number
  readonly updates: number
  readonly deletes: number
}
export interface TwoWaySample {
  readonly side: SideName
  /** Of the row that would be written; of an insert: of the row it would be made from. */
  readonly key: PrintedKey
  readonly kind: 'insert' | 'update' | 'delete'
  readonly fields: Readonly<Record<string, { readonly from: Value; readonly to: Value }>>
  readonly reason: string
}
export interface ConflictSample {
  readonly key: PrintedKey
  /** Null: one side deleted the row, or its match is not unique. */
  readonly field: string | null
  readonly base: Value
  readonly left: Value
  readonly right: Value
  readonly rule: string
  readonly outcome: string
  /** Of a row that one side deleted: what the other changed in it. */
  readonly row: DeletedRow | null
}
export interface DeletedRow {
  readonly deleted: SideName
  /** Base: null where bases are hashes. */
  readonly changed: Readonly<Record<string, { readonly base: Value; readonly now: Value }>>
}

const MAX_SAMPLES_PER_KIND = 5
const MAX_CONFLICTS = 20

export async function planTwoWay(sync: TwoWaySync, project: Project): Promise<TwoWayPlan> {
  await using sides = await openPairSides(sync, project)
  await using work = await project.store.pairs.plan(sync.id)
  const tally = new Tally(project.context, () => {})
  const detected = await detect(sides, work, tally, null)
  const draft = new Draft(sides)
  draft.pairs = tally.counts.unchanged
  for (let rows = sync.batch.rows; ; ) {
    if (project.context.signal.aborted) break
    const works = await work.next('writes', rows)
    if (works.length === 0) break
    const loaded = await loadBatch(sides, work, works)
    rows = nextRows(rows, loaded, sync.batch.rows)
    for (const meeting of loaded.meetings) draft.meet(meeting)
    for (const { match, keys } of loaded.ambiguities) draft.ambiguous(match, keys)
    for (const one of loaded.items) draft.item(one)
    await draft.rehearse()
    await work.done(loaded.works)
  }
  const deletes = { left: draft.counts.left.deletes, right: draft.counts.right.deletes }
  const along = await draft.takeAlong(heldBackByReferences(await sides.memory.waiting()), work)
  await draft.rehearse()
  for (const side of sideNames) deletes[side] += deletedRows(along[side])
  const released = await project.store.runs.released(sync.id)
  const held = sideNames.some((side) =>
    holds(sync.guard, {
      deletes: deletes[side],
      targetRows: detected.rows[side],
      sourceRows: detected.rows[otherSide(side)],
      released: released === null ? null : released - deletes[otherSide(side)],
    }),
  )
  const { left, right } = draft.counts
  return {
    sync: sync.id,
    inserts: left.inserts + right.inserts,
    updates: left.updates + right.updates,
    deletes: left.deletes + right.deletes,
    left,
    right,
    pairs: draft.pairs,
    conflicts: draft.conflicts,
    rejected: draft.rejected,
    schema: [],
    reading:
      sides.afresh === null
        ? 'read what may have changed since the last run'
        : `read both sides in full: ${sides.afresh}`,
    held,
    warnings: [
      ...(await warningsOf(sides, detected, draft)),
      ...sideNames.flatMap((side) => alongWarnings(side, along[side])),
    ],
    samples: draft.samples,
    conflictSamples: draft.conflictSamples,
  }
}

/** A write that was decided. */
interface Asked {
  readonly side: SideName
  readonly keys: Readonly<Record<SideName, string | null>>
  readonly rows: Pick<Item, 'base' | SideName>
  readonly action: Action
}

class Draft {
  readonly counts = { left: zero(), right: zero() }
  readonly samples: TwoWaySample[] = []
  readonly conflictSamples: ConflictSample[] = []
  pairs = 0
  conflicts = 0
  rejected = 0
  /** Rows to be inserted that can have no partner: a field of their match is NULL. */
  unmatched = 0
  /** Writes that the sides have not been asked about. */
  readonly #asked: Asked[] = []
  readonly #sides: PairSides
  readonly #matches = new Set<string>()
  /** Deletions by side and key. */
  readonly #drops = { left: new Map<string, LoadedItem>(), right: new Map<string, LoadedItem>() }

  constructor(sides: PairSides) {
    this.#sides = sides
  }

  meet({ keys, rows }: Meeting): void {
    this.pairs++
    const decision = reconcile({ base: null, ...rows, held: new Map() }, this.#sides.pairing)
    this.#decision(keys, { base: null, ...rows }, decision, new Set())
  }

  ambiguous(match: string, keys: Readonly<Record<SideName, readonly string[]>>): void {
    if (this.#matches.has(match)) return
    this.#matches.add(match)
    this.conflicts++
    this.#conflict({ left: keys.left[0] ?? null, right: keys.right[0] ?? null }, null, {
      rule: 'match',
      outcome: 'open',
      base: null,
      left: `${keys.left.length} rows`,
      right: `${keys.right.length} rows`,
      row: null,
    })
  }

  item(one: LoadedItem): void {
    if (one.unreadable !== null) {
      this.rejected++
      return
    }
    if (one.unpaired?.state === 'parted') return
    const open = new Set(
      one.conflicts.flatMap(({ fields }) =>
        Object.entries(fields).flatMap(([name, { status }]) => (status === 'open' ? [name] : [])),
      ),
    )
    const decision = reconcile(one.item, this.#sides.pairing)
    const inserts = decision.left?.kind === 'insert' || decision.right?.kind === 'insert'
    if (one.pair === null && one.match === null && inserts && this.#sides.sync.match.length > 0) this.unmatched++
    for (const side of sideNames)
      if (decision[side]?.kind === 'delete') this.#drops[side].set(one.keys[side] ?? '', one)
    this.#decision(one.keys, one.item, decision, open)
  }

  /** Deletions that would take along rows which are to stay are none yet; one that has waited already counts as a change. */
  async takeAlong(heldBack: HeldBack, work: PairWork): Promise<Record<SideName, TakenAlong>> {
    const { pairing } = this.#sides
    const along = {
      left: await takenAlong(this.#sides, 'left', [...this.#drops.left.keys()], (rows) =>
        this.#released('left', rows, work),
      ),
      right: await takenAlong(this.#sides, 'right', [...this.#drops.right.keys()], (rows) =>
        this.#released('right', rows, work),
      ),
    }
    for (const side of sideNames)
      for (const [key, { kept }] of along[side].waits) {
        const one = this.#drops[side].get(key)
        if (one === undefined) continue
        this.counts[side].deletes--
        const shown = this.samples.findIndex(
          (sample) =>
            sample.kind === 'delete' &&
            sample.side === side &&
            sameKey(sample.key, printSideKey(this.#sides, side, key)),
        )
        if (shown >= 0) this.samples.splice(shown, 1)
        if (!kept || one.pair === null || !heldBack.pairs.has(one.pair.id)) continue
        const decision = reconcile({ ...one.item, depended: true }, pairing)
        if (decision[side]?.kind !== 'delete') this.#decision(one.keys, one.item, decision, new Set())
      }
    return along
  }

  /** Rows that the run would let refer to something else before it deletes. */
  async #released(side: SideName, rows: readonly Referring[], work: PairWork): Promise<ReadonlySet<string>> {
    const { memory, pairing } = this.#sides
    const pairs = await memory.byKeys(side, [...new Set(rows.map(({ key }) => key))])
    const { items } = await loadItems(
      this.#sides,
      work,
      pairs.map(({ id }, seq) => ({ seq, pair: id, side: null })),
    )
    const released = new Set<string>()
    for (const { keys, item } of items) {
      const action = reconcile(item, pairing)[side]
      const written = action?.kind === 'update' ? action.cells.map(({ at }) => pairing[side].fields[at] ?? '') : []
      const own = rows.filter(({ key }) => key === keys[side])
      if (own.length > 0 && own.every(({ fields }) => fields.some((name) => written.includes(name))))
        released.add(keys[side] ?? '')
    }
    return released
  }

  /** Counts what was decided since, but for what a side would refuse. */
  async rehearse(): Promise<void> {
    const asked = this.#asked.splice(0)
    const refused = new Set<Asked>()
    for (const side of sideNames) {
      const own = asked.filter((one) => one.side === side)
      const writes = own.map(({ keys, rows, action }) => writeOf(this.#sides, side, keys[side], action, rows[side]))
      const answers = own.length === 0 ? [] : ((await this.#sides.collections[side].rehearse?.(writes)) ?? [])
      for (const [at, one] of own.entries()) if (answers[at] === true) refused.add(one)
    }
    this.rejected += refused.size
    for (const one of asked) {
      if (refused.has(one)) continue
      const { side, keys, rows, action } = one
      this.counts[side][`${action.kind}s`]++
      this.#sample(side, keys, rows, action)
    }
  }

  #decision(
    keys: Readonly<Record<SideName, string | null>>,
    rows: Pick<Item, 'base' | SideName>,
    decision: Decision,
    open: ReadonlySet<string>,
  ): void {
    if (decision.refused !== null) this.rejected++
    for (const side of sideNames) {
      const action = decision[side]
      if (action === null) continue
      this.#asked.push({ side, keys, rows, action })
    }
    for (const conflict of decision.conflicts) {
      const field = conflict.at === null ? null : (this.#sides.pairing.fields[conflict.at]?.name ?? null)
      // What is open already is no news.
      if (conflict.outcome === 'open' && open.size > 0 && (field === null || open.has(field))) continue
      this.conflicts++
      this.#conflict(keys, field, { ...conflict, row: conflict.at === null ? this.#deletedRow(rows) : null })
    }
  }

  #conflict(
    keys: Readonly<Record<SideName, string | null>>,
    field: string | null,
    { base, left, right, rule, outcome, row }: Omit<ConflictSample, 'key' | 'field'>,
  ): void {
    if (this.conflictSamples.length < MAX_CONFLICTS)
      this.conflictSamples.push({ key: printPairKey(this.#sides, keys), field, base, left, right, rule, outcome, row })
  }

  #deletedRow(item: Pick<Item, 'base' | SideName>): DeletedRow {
    const deleted: SideName = item.left === null ? 'left' : 'right'
    const there = otherSide(deleted)
    const changed = this.#sides.pairing.fields.flatMap(({ name }, at) => {
      const now = item[there]?.[at] ?? null
      if (item.base?.unchanged(there, at, now) !== false) return []
      return [[name, { base: item.base.value(there, at), now }] as const]
    })
    return { deleted, changed: Object.fromEntries(changed) }
  }

  #sample(
    side: SideName,
    keys: Readonly<Record<SideName, string | null>>,
    rows: Readonly<Record<SideName, Row | null>>,
    action: Action,
  ): void {
    if (this.samples.filter(({ kind }) => kind === action.kind).length >= MAX_SAMPLES_PER_KIND) return
    const { fields } = this.#sides.pairing
    const own = rows[side]
    const nameOf = (at: number) => fields[at]?.name ?? ''
    const cells = action.kind === 'delete' ? fields.map((_field, at) => ({ at, value: null })) : action.cells
    const changed = Object.fromEntries(
      cells.map(({ at, value }): [string, { from: Value; to: Value }] => [
        nameOf(at),
        { from: own?.[at] ?? null, to: value },
      ]),
    )
    const reason =
      action.kind === 'update' ? [...new Set(action.cells.map((cell) => cell.reason))].join('; ') : action.reason
    const at = keys[side] === null ? otherSide(side) : side
    this.samples.push({
      side,
      key: printSideKey(this.#sides, at, keys[at]),
      kind: action.kind,
      fields: changed,
      reason,
    })
  }
}

async function warningsOf(sides: PairSides, { rows }: Detected, draft: Draft): Promise<string[]> {
  const { sync, state, memory } = sides
  const { counts } = draft
  const warnings: string[] = []
  const replaced = await replacedSide(sides)
  if (replaced !== null) warnings.push(`a run would stop: ${replaced.message}`)
  const inserts = counts.left.inserts + counts.right.inserts
  if (state.runs === 0 && sync.match.length === 0 && rows.left > 0 && rows.right > 0 && inserts > 0)
    warnings.push(
      `both sides hold rows and no \`match\` says which belong together: a run would insert ${rowCount(counts.left.inserts)} on the left and ${rowCount(counts.right.inserts)} on the right`,
    )
  if (draft.unmatched > 0)
    warnings.push(
      `${rowCount(draft.unmatched)} with NULL in a field of \`match\` (${sync.match.map(({ field }) => field).join(', ')}) pair${draft.unmatched === 1 ? 's' : ''} with no row, and would be inserted on the other side`,
    )
  const asked = (await memory.intents()).reduce((sum, { body }) => sum + intendedWrites(body), 0)
  if (asked > 0)
    warnings.push(
      `an earlier run was stopped: the next one will first recover ${asked} write${asked === 1 ? '' : 's'} that it had asked for, some of which may be among those shown here`,
    )
  return warnings
}

/** What a person should know about rows that go with others. */
function alongWarnings(side: SideName, { others, waits }: TakenAlong): string[] {
  const warnings = [...others].map(([collection, { deleted, changed }]) => {
    const what = [
      deleted > 0 ? `delete ${rowCount(deleted)}` : '',
      changed > 0 ? `change ${rowCount(changed)}` : '',
    ].filter((part) => part !== '')
    return `deletions on the ${side} also ${what.join(' and ')} of ${collection}, which no two-way sync holds (ON DELETE)`
  })
  const holders = new Map<string, number>()
  for (const { collection } of waits.values()) holders.set(collection, (holders.get(collection) ?? 0) + 1)
  for (const [collection, count] of holders)
    warnings.push(
      `${count} deletion${count === 1 ? '' : 's'} on the ${side} wait${count === 1 ? 's' : ''} for rows of ${collection} that refer to what would go: they would go or change with it, or stand in its way (ON DELETE)`,
    )
  return warnings
}

function sameKey(a: PrintedKey, b: PrintedKey): boolean {
  return JSON.stringify(Object.entries(a)) === JSON.stringify(Object.entries(b))
}

function rowCount(count: number): string {
  return `${count} row${count === 1 ? '' : 's'}`
}

function zero(): { inserts: number; updates: number; deletes: number } {
  return { inserts: 0, updates: 0, deletes: 0 }
}

/** A stored key as people see it. */
export function printSideKey({ pairing }: Pick<PairSides, 'pairing'>, side: SideName, key: string | null): PrintedKey {
  const parts = key === null ? [] : parseKeyText(key)
  return Object.fromEntries(pairing[side].schema.key.map((name, at) => [name, parts[at] ?? null]))
}

/** The left side's key, or the right's where the left has none. */
function printPairKey(sides: Pick<PairSides, 'pairing'>, keys: Readonly<Record<SideName, string | null>>): PrintedKey {
  return keys.left === null ? printSideKey(sides, 'right', keys.right) : printSideKey(sides, 'left', keys.left)
}
