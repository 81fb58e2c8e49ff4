/**
 * Takes a run's writes back, newest first, through compare-and-set: a row that changed since is left as it is and becomes
 * a conflict. Afterwards both sides are taken as agreed as they stand, so that the next run does not do it all again.
 */
import type { Patch, Write } from '../../connectors/connector.ts'
import { SyncError } from '../../core/error.ts'
import { keyText, parseKeyText } from '../../core/key-text.ts'
import { keyOfSide } from '../../core/pairing.ts'
import type { PrintedKey } from '../../core/run.ts'
import { otherSide, type SideName, type TwoWaySync } from '../../core/two-way.ts'
import type { Row, Value } from '../../core/value.ts'
import type { ConflictChange, JournalEntry, PairRun, StoredPair } from '../../store/pairs.ts'
import type { Project } from '../project.ts'
import { Changes } from './changes.ts'
import { closeWrites, type Fences, openWriters } from './fences.ts'
import { openPairSides } from './open.ts'
import { cellsOfPair, type PairSides, rowCells } from './pair-sides.ts'
import { printSideKey } from './plan.ts'
import { replacedSide } from './replaced-side.ts'

/** What is done about one write. */
export interface Undone {
  readonly side: SideName
  readonly key: PrintedKey
  /** What undoing does: a deleted row is inserted again. */
  readonly kind: 'insert' | 'update' | 'delete'
  readonly fields: Readonly<Record<string, { readonly from: Value | undefined; readonly to: Value | undefined }>>
  /** `changed`: the row is not as the run left it. `nothing`: it is as it was before the run. */
  readonly status: 'planned' | 'undone' | 'changed' | 'rejected' | 'nothing'
  readonly message: string | null
}

/** `lease`: the generation of the sync's lease, which the caller holds; null: it only says what it would do. */
export async function undoRun(
  run: string,
  sync: TwoWaySync,
  project: Project,
  options: { readonly lease: number | null; readonly id: string },
): Promise<readonly Undone[]> {
  const entries = await project.store.pairs.journal.ofRun(run)
  if (entries.length === 0)
    throw new SyncError('RUN_UNKNOWN', `the journal holds no writes of run ${run}`, {
      hint: 'It wrote nothing, or longer ago than the journal keeps (journal: { keepDays }). `syncline history` lists the runs.',
    })
  await using sides = await openPairSides(sync, project)
  const replaced = await replacedSide(sides)
  if (replaced !== null) throw replaced
  if (options.lease === null) return await plan(sides, entries)
  await using pairs = await project.store.pairs.run(sync.id)
  return await carryOut(sides, pairs, entries, options.lease, options.id)
}

async function plan(sides: PairSides, entries: readonly JournalEntry[]): Promise<Undone[]> {
  const undone: Undone[] = []
  const originals = originalsOf(entries)
  for (const entry of entries) {
    const { row, write } = await reverse(sides, entry)
    if (isUndone(sides, entry, row, originals)) {
      undone.push(describe(sides, entry, 'nothing', nothingLeft))
      continue
    }
    const fits = write !== null && (write.kind === 'insert' || holds(sides, entry.side, row, write.expected))
    undone.push(describe(sides, entry, fits ? 'planned' : 'changed', fits ? null : changedMessage))
  }
  return undone
}

const changedMessage = 'the row changed since; it is left as it is'
const nothingLeft = 'it is as it was before the run: nothing is left to undo'

async function carryOut(
  sides: PairSides,
  pairs: PairRun,
  entries: readonly JournalEntry[],
  generation: number,
  id: string,
): Promise<Undone[]> {
  const fences: Fences = {}
  await using writers = await openWriters(sides, pairs, fences, generation)
  const undone: Undone[] = []
  const originals = originalsOf(entries)
  for (const entry of entries) {
    const { write, pair, other, row: was } = await reverse(sides, entry)
    if (isUndone(sides, entry, was, originals)) {
      undone.push(describe(sides, entry, 'nothing', nothingLeft))
      continue
    }
    const changes = new Changes(sides, id)
    const batch = `${id}-${entry.seq}/${entry.side}`
    const [result] =
      write === null ? [{ status: 'stale' as const }] : await writers[entry.side].write(batch, [write], [])
    if (result?.status === 'written') {
      takeBack(sides, changes, entry, pair, result.row ?? was, other)
      undone.push(describe(sides, entry, 'undone', null))
    } else if (result?.status === 'rejected') undone.push(describe(sides, entry, 'rejected', result.message))
    else {
      const conflict = await conflictOf(sides, entry, pair, id)
      if (conflict !== null && !(await isOnRecord(sides, conflict))) changes.conflict(conflict)
      undone.push(describe(sides, entry, 'changed', changedMessage))
    }
    await pairs.commit(generation, changes.commit())
  }
  await closeWrites(pairs, writers, fences, generation)
  return undone
}

interface Reversal {
  /** Null: there is nothing left to write. */
  readonly write: Write | null
  readonly pair: StoredPair | null
  readonly row: Row | null
  readonly other: Row | null
}

/** The write that takes an entry back. */
async function reverse(sides: PairSides, entry: JournalEntry): Promise<Reversal> {
  const { memory, pairing } = sides
  const { side } = entry
  const key = entry[side]
  const [pair = null] = key === null ? [] : await memory.byKeys(side, [key])
  const row = key === null ? null : await fetchRow(sides, side, key)
  const other = pair === null ? null : await fetchRow(sides, otherSide(side), pair[otherSide(side)])
  const names = pairing[side].fields
  const at = entry.fields.map((name) => pairing.fields.findIndex((field) => field.name === name))
  const before = entry.before === null ? [] : parseKeyText(entry.before)
  const after = entry.after === null ? [] : parseKeyText(entry.after)
  const patch = (values: readonly Value[]): Patch =>
    Object.fromEntries(at.flatMap((index, i) => (index < 0 ? [] : [[names[index] as string, values[i] ?? null]])))
  switch (entry.kind) {
    case 'update':
      return {
        write:
          key === null
            ? null
            : { kind: 'update', key: parseKeyText(key), fields: patch(before), expected: patch(after) },
        pair,
        row,
        other,
      }
    case 'delete': {
      // Of a row that was kept by key only there is nothing to bring back.
      if (entry.before === null) return { write: null, pair, row, other }
      const own = key === null || row !== null ? {} : keyFields(sides, side, key)
      return { write: row !== null ? null : { kind: 'insert', row: { ...patch(before), ...own } }, pair, row, other }
    }
    case 'insert': {
      // An inserted row is kept by key only: its base says what it was when both sides agreed.
      const untouched = pair !== null && row !== null && isBase(sides, side, pair, row)
      const expected =
        row === null ? {} : Object.fromEntries(pairing.fields.map((_field, i) => [names[i] as string, row[i] ?? null]))
      return {
        write: untouched && key !== null ? { kind: 'delete', key: parseKeyText(key), expected } : null,
        pair,
        row,
        other,
      }
    }
  }
}

/** What rows were before a run, by side, key and field: it may have written to one more than once. Null: the row was not there. */
type Originals = ReadonlyMap<string, Value | null>

function originalsOf(entries: readonly JournalEntry[]): Originals {
  const originals = new Map<string, Value | null>()
  // Newest first: what is older takes the place of what is newer.
  for (const { side, kind, fields, before, ...keys } of entries) {
    const held = before === null ? [] : parseKeyText(before)
    originals.set(JSON.stringify([side, keys[side]]), kind === 'insert' ? null : true)
    fields.forEach((name, i) => {
      originals.set(JSON.stringify([side, keys[side], name]), held[i] ?? null)
    })
  }
  return originals
}

/** Whether the row is as it was before the run. */
function isUndone({ pairing }: PairSides, entry: JournalEntry, row: Row | null, originals: Originals): boolean {
  const { side, fields } = entry
  const wasThere = originals.get(JSON.stringify([side, entry[side]])) !== null
  if (!wasThere) return row === null
  if (row === null) return false
  return fields.every((name) => {
    const at = pairing.fields.findIndex((field) => field.name === name)
    const original = originals.get(JSON.stringify([side, entry[side], name])) ?? null
    return at < 0 || keyText([row[at] ?? null]) === keyText([original])
  })
}

/** A deleted row comes back under its old key. */
function keyFields({ pairing }: PairSides, side: SideName, key: string): Patch {
  const parts = parseKeyText(key)
  return Object.fromEntries(pairing[side].schema.key.map((name, at) => [name, parts[at] ?? null]))
}

function isBase(sides: PairSides, side: SideName, pair: StoredPair, row: Row): boolean {
  const cells = cellsOfPair(sides, pair)[side]
  return rowCells(sides, sides.pairing[side], row).every((cell, at) => cell === cells[at])
}

function holds({ pairing }: PairSides, side: SideName, row: Row | null, expected: Patch): boolean {
  if (row === null) return false
  return Object.entries(expected).every(([name, value]) => {
    const at = pairing[side].fields.indexOf(name)
    return keyText([row[at] ?? null]) === keyText([value])
  })
}

/** The memory after a write was taken back: both sides count as agreed as they stand. */
function takeBack(
  sides: PairSides,
  changes: Changes,
  entry: JournalEntry,
  pair: StoredPair | null,
  row: Row | null,
  other: Row | null,
): void {
  const { pairing } = sides
  const { side } = entry
  const far = otherSide(side)
  const reason = `undo of run ${entry.run}`
  const keys = { left: entry.left, right: entry.right }
  if (entry.kind === 'insert') {
    if (pair !== null) {
      changes.remove(pair)
      const match = other === null ? null : pairing.matchOf(far, other)
      if (other !== null) changes.keep({ side: far, key: pair[far], match, state: 'parted', code: null, message: null })
    }
    changes.journal({
      side,
      kind: 'delete',
      pair: pair?.id ?? null,
      ...keys,
      fields: pairing.fields.map(({ name }) => name),
      before: row === null ? null : keyText(pairing.fields.map((_field, at) => row[at] ?? null)),
      after: null,
      reason,
    })
    return
  }
  if (entry.kind === 'delete') {
    const key = row === null ? entry[side] : keyText(keyOfSide(pairing[side], row))
    if (key !== null)
      changes.keep({
        side,
        key,
        match: row === null ? null : pairing.matchOf(side, row),
        state: 'parted',
        code: null,
        message: null,
      })
    changes.journal({
      side,
      kind: 'insert',
      pair: null,
      ...keys,
      [side]: key,
      fields: [],
      before: null,
      after: null,
      reason,
    })
    return
  }
  if (pair !== null) {
    const draft = changes.draft(pair)
    const key = row === null ? pair[side] : keyText(keyOfSide(pairing[side], row))
    if (key !== pair[side]) changes.rekey(draft, side, key)
    for (const name of entry.fields) {
      const at = pairing.fields.findIndex((field) => field.name === name)
      if (at < 0) continue
      if (row !== null) changes.base(draft, side, at, row[at] ?? null)
      if (other !== null) changes.base(draft, far, at, other[at] ?? null)
    }
  }
  changes.journal({
    side,
    kind: 'update',
    pair: pair?.id ?? null,
    ...keys,
    fields: entry.fields,
    before: entry.after,
    after: entry.before,
    reason,
  })
}

/** Whether an earlier undo left the same behind. */
async function isOnRecord({ project, sync }: PairSides, { left, right, fields }: ConflictChange): Promise<boolean> {
  const filter = { sync: sync.id, kind: 'undo', status: ['open', 'decided'], limit: 1_000_000 } as const
  const records = await project.store.pairs.conflicts.list(filter)
  return records.some(
    (record) =>
      record.left === left &&
      record.right === right &&
      Object.keys(fields).every((name) => record.fields[name] !== undefined),
  )
}

/** A row that changed since: what the run wrote over is kept for a person. */
async function conflictOf(
  sides: PairSides,
  entry: JournalEntry,
  pair: StoredPair | null,
  id: string,
): Promise<ConflictChange | null> {
  const { pairing, project } = sides
  const rows = {
    left: entry.left === null ? null : await fetchRow(sides, 'left', entry.left),
    right: entry.right === null ? null : await fetchRow(sides, 'right', entry.right),
  }
  const before = entry.before === null ? [] : parseKeyText(entry.before)
  const names = entry.fields.length > 0 ? entry.fields : pairing.fields.map(({ name }) => name)
  return {
    id: null,
    kind: 'undo',
    pair: pair?.id ?? null,
    left: entry.left,
    right: entry.right,
    fields: Object.fromEntries(
      names.map((name, i) => {
        const at = pairing.fields.findIndex((field) => field.name === name)
        const values = keyText([before[i] ?? null, rows.left?.[at] ?? null, rows.right?.[at] ?? null])
        return [name, { values, rule: 'undo', outcome: 'open', status: 'open' as const }]
      }),
    ),
    run: id,
    atMs: project.context.clock.now(),
  }
}

async function fetchRow({ pairing, collections }: PairSides, side: SideName, key: string): Promise<Row | null> {
  const chunk = await collections[side].lookup.fetch([parseKeyText(key)], pairing[side].fields)
  return chunk.rows[0] ?? null
}

function describe(sides: PairSides, entry: JournalEntry, status: Undone['status'], message: string | null): Undone {
  const before = entry.before === null ? [] : parseKeyText(entry.before)
  const after = entry.after === null ? [] : parseKeyText(entry.after)
  const kind = entry.kind === 'insert' ? 'delete' : entry.kind === 'delete' ? 'insert' : 'update'
  return {
    side: entry.side,
    key: printSideKey(sides, entry.side, entry[entry.side]),
    kind,
    fields: Object.fromEntries(entry.fields.map((name, i) => [name, { from: after[i], to: before[i] }])),
    status,
    message,
  }
}
