/** What one batch changes in the memory of a two-way sync, collected until it is committed. */
import { randomUUID } from 'node:crypto'
import { baseOf, cellOf, neverCell } from '../../core/base.ts'
import { keyText } from '../../core/key-text.ts'
import { ownValue } from '../../core/own-value.ts'
import type { Conflict, Decision } from '../../core/reconcile.ts'
import { type SideName, sideNames } from '../../core/two-way.ts'
import type { Row, Type, Value } from '../../core/value.ts'
import {
  type ConflictChange,
  type ConflictField,
  type ConflictRecord,
  type ConflictStatus,
  goneKey,
  type JournalEntry,
  type NewPair,
  type PairCommit,
  type Pending,
  type StoredPair,
  type Unpaired,
} from '../../store/pairs.ts'
import { cellsOfPair, encodePair, type PairSides } from './pair-sides.ts'

/** A pair as it will be stored. */
export interface PairDraft {
  readonly pair: StoredPair
  readonly keys: Record<SideName, string>
  readonly cells: Record<SideName, string[]>
  recent: string | null
  changed: boolean
}

export class Changes {
  readonly #sides: PairSides
  readonly #run: string
  readonly #drafts = new Map<number, PairDraft>()
  readonly #inserts: NewPair[] = []
  readonly #removed = new Set<number>()
  readonly #unpaired: Unpaired[] = []
  readonly #taken: { side: SideName; key: string }[] = []
  /** Whose row a key is that an insert of this batch got. Others may have been read with it just before (SQLite gives keys again). */
  readonly #owners = { left: new Map<string, PairDraft | NewPair>(), right: new Map<string, PairDraft | NewPair>() }
  readonly #settled: { side: SideName; key: string }[] = []
  readonly #pending = new Map<number, Pending>()
  readonly #unpend = new Set<number>()
  readonly #conflicts: ConflictChange[] = []
  readonly #told = new Set<string>()
  readonly #journal: Omit<JournalEntry, 'seq'>[] = []
  readonly #carried: string[] = []
  /** Conflicts put on record that were not before. */
  opened = 0

  constructor(sides: PairSides, run: string) {
    this.#sides = sides
    this.#run = run
  }

  /** A pair about to change. */
  draft(pair: StoredPair): PairDraft {
    const known = this.#drafts.get(pair.id)
    if (known !== undefined) return known
    const draft: PairDraft = {
      pair,
      keys: { left: pair.left, right: pair.right },
      cells: cellsOfPair(this.#sides, pair),
      recent: pair.recent,
      changed: pair.layout !== this.#sides.layout.id,
    }
    this.#drafts.set(pair.id, draft)
    return draft
  }

  /** Sets a field's base on one side. */
  base(draft: PairDraft, side: SideName, at: number, value: Value): void {
    this.#cell(draft, side, at, cellOf(this.#sides.layout.mode, this.#sides.types[side][at] as Type, value))
  }

  /** The field counts as changed until it has been written. */
  baseNever(draft: PairDraft, side: SideName, at: number): void {
    this.#cell(draft, side, at, neverCell)
  }

  #cell(draft: PairDraft, side: SideName, at: number, cell: string): void {
    if (draft.cells[side][at] === cell) return
    draft.cells[side][at] = cell
    draft.changed = true
  }

  /** Two rows become a pair. Null cells: nothing is agreed yet. `inserted`: the side whose row we inserted. */
  pair(
    keys: Readonly<Record<SideName, string>>,
    cells: Readonly<Record<SideName, readonly string[]>> | null,
    inserted: SideName | null = null,
  ): void {
    const none = this.#sides.layout.fields.map(() => neverCell)
    const pair = { ...keys, ...encodePair(this.#sides, cells ?? { left: none, right: none }), recent: null }
    this.#inserts.push(pair)
    for (const side of sideNames) this.settle(side, keys[side])
    if (inserted !== null) this.#take(inserted, keys[inserted], pair)
  }

  /** The row of a pair has this key by a write of ours: we inserted it, or changed its key. */
  rekey(draft: PairDraft, side: SideName, key: string): void {
    draft.keys[side] = key
    draft.changed = true
    this.settle(side, key)
    this.#take(side, key, draft)
  }

  remove(pair: StoredPair): void {
    this.#removed.add(pair.id)
    this.#drafts.delete(pair.id)
  }

  keep(unpaired: Unpaired): void {
    this.#unpaired.push(unpaired)
  }

  /** A row that we inserted got this key: the pair that had it has lost its row. */
  #take(side: SideName, key: string, owner: PairDraft | NewPair): void {
    this.#taken.push({ side, key })
    this.#owners[side].set(key, owner)
  }

  /** The pair has lost its row on this side; another row has its key. */
  lose(side: SideName, pair: StoredPair): void {
    this.#taken.push({ side, key: pair[side] })
  }

  settle(side: SideName, key: string): void {
    this.#settled.push({ side, key })
  }

  pend(pending: Pending): void {
    this.#pending.set(pending.pair, pending)
  }

  unpend(pair: number): void {
    this.#unpend.add(pair)
  }

  carried(intent: string): void {
    this.#carried.push(intent)
  }

  journal(entry: Omit<JournalEntry, 'seq' | 'sync' | 'run' | 'atMs'>): void {
    const { sync, project } = this.#sides
    this.#journal.push({ ...entry, sync: sync.id, run: this.#run, atMs: project.context.clock.now() })
  }

  /** Once for both writes of a decision: either of them needs it on record. */
  conflict(change: ConflictChange): void {
    const same = JSON.stringify([change.id, change.pair, change.left, change.fields])
    if (this.#told.has(same)) return
    this.#told.add(same)
    this.#conflicts.push(change)
    if (change.id === null) this.opened++
  }

  commit(): PairCommit {
    const update = [...this.#drafts.values()]
      .filter(({ changed }) => changed)
      .map(
        (draft): StoredPair => ({
          ...draft.pair,
          ...this.#keysOf(draft, draft.keys, draft.pair.id),
          ...encodePair(this.#sides, draft.cells),
          recent: draft.recent,
        }),
      )
    return {
      insert: this.#inserts.map((pair) => ({ ...pair, ...this.#keysOf(pair, pair, randomUUID()) })),
      update,
      remove: [...this.#removed],
      taken: this.#taken,
      unpaired: this.#unpaired.filter(({ side, key }) => !this.#owners[side].has(key)),
      settled: this.#settled,
      pending: [...this.#pending.values()],
      unpend: [...this.#unpend].filter((pair) => !this.#pending.has(pair)),
      conflicts: this.#conflicts,
      journal: this.#journal,
      carried: this.#carried,
    }
  }

  /** Keys as they were read, but for one that a row of ours has got since: the row that was read with it is gone. */
  #keysOf(
    one: PairDraft | NewPair,
    { left, right }: Readonly<Record<SideName, string>>,
    id: number | string,
  ): Record<SideName, string> {
    const keyOn = (side: SideName, key: string) => ((this.#owners[side].get(key) ?? one) === one ? key : goneKey(id))
    return { left: keyOn('left', left), right: keyOn('right', right) }
  }
}

/** What a decision does to the records of its pair's conflicts. */
export function conflictChanges(
  sides: PairSides,
  run: string,
  pair: StoredPair,
  decision: Pick<Decision, 'conflicts' | 'ended'>,
  records: readonly ConflictRecord[],
  rows: Readonly<Record<SideName, Row | null>>,
): ConflictChange[] {
  const { project, pairing } = sides
  const changes: ConflictChange[] = []
  const nameOf = (at: number) => pairing.fields[at]?.name ?? ''
  const note = (id: number | null, kind: ConflictRecord['kind'], fields: ConflictChange['fields']) => {
    if (Object.keys(fields).length === 0) return
    const { left, right } = pair
    changes.push({ id, kind, pair: pair.id, left, right, fields, run, atMs: project.context.clock.now() })
  }
  const fieldsOf = (conflicts: readonly Conflict[], status: ConflictStatus): Record<string, ConflictField> =>
    Object.fromEntries(
      conflicts.flatMap((conflict): (readonly [string, ConflictField])[] => {
        const { at, base, left, right, rule, outcome } = conflict
        if (at === null) return Object.entries(imageOf(sides, pair, rows, conflict, status))
        return [[nameOf(at), { values: keyText([base, left, right]), rule, outcome, status }]]
      }),
    )
  for (const kind of ['fields', 'delete'] as const) {
    const mine = ({ at }: { readonly at: number | null }) => (kind === 'delete') === (at === null)
    const own = decision.conflicts.filter(mine)
    const standing = records.filter((candidate) => (candidate.kind === 'delete') === (kind === 'delete'))
    const changed = new Map<ConflictRecord | null, Record<string, ConflictField>>()
    const change = (record: ConflictRecord | null, name: string, field: ConflictField) => {
      const fields = changed.get(record) ?? {}
      changed.set(record, { ...fields, [name]: field })
    }
    const opening = fieldsOf(
      own.filter(({ outcome }) => outcome === 'open'),
      'open',
    )
    for (const [name, field] of Object.entries(opening)) {
      const record = recordFor(name, standing)
      const rule = ownValue(record?.fields ?? {}, name)?.rule === 'oscillation' ? 'oscillation' : field.rule
      change(record, name, { ...field, rule })
    }
    for (const { at, how } of decision.ended.filter(mine))
      for (const record of standing)
        for (const name of at === null ? Object.keys(record.fields) : [nameOf(at)]) {
          const field = ownValue(changed.get(record) ?? {}, name) ?? ownValue(record.fields, name)
          if (field !== undefined && (at === null || isPending(field))) change(record, name, { ...field, status: how })
        }
    for (const [record, fields] of changed) {
      const news = Object.entries(fields).filter(
        ([name, field]) => JSON.stringify(field) !== JSON.stringify(ownValue(record?.fields ?? {}, name)),
      )
      note(record?.id ?? null, kind, Object.fromEntries(news))
    }
    note(
      null,
      kind,
      fieldsOf(
        own.filter(({ outcome }) => outcome !== 'open'),
        'resolved',
      ),
    )
  }
  return changes
}

/**
 * The record that a field's conflict goes into; null: one of its own. One in which that field is over keeps what it says: the value that
 * was given up stands nowhere else (S1).
 */
function recordFor(name: string, records: readonly ConflictRecord[]): ConflictRecord | null {
  const pending = records.find(({ fields }) => {
    const field = ownValue(fields, name)
    return field !== undefined && isPending(field)
  })
  return pending ?? records.find(({ fields }) => !Object.hasOwn(fields, name)) ?? null
}

function isPending({ status }: ConflictField): boolean {
  return status === 'open' || status === 'decided'
}

/** A row that one side deleted, as the other held it: nothing of it is lost, whatever is decided. */
function imageOf(
  sides: PairSides,
  pair: StoredPair,
  rows: Readonly<Record<SideName, Row | null>>,
  conflict: Conflict,
  status: ConflictStatus,
): Record<string, ConflictField> {
  const base = baseOf(sides.layout.mode, cellsOfPair(sides, pair), sides.types)
  return Object.fromEntries(
    sides.pairing.fields.map(({ name }, at) => [
      name,
      {
        values: keyText([base.value('left', at), rows.left?.[at] ?? null, rows.right?.[at] ?? null]),
        rule: conflict.rule,
        outcome: conflict.outcome,
        status,
      },
    ]),
  )
}
