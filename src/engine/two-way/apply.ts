/** Carries out decisions: intents first, then the writes of each side, then what became of them is taken into the bases. */
import type { Patch, Write, WriteResult, Writer } from '../../connectors/connector.ts'
import { cellOf, neverCell } from '../../core/base.ts'
import { keyText, parseKeyText } from '../../core/key-text.ts'
import { keyOfSide } from '../../core/pairing.ts'
import { type Action, flows } from '../../core/reconcile.ts'
import { otherSide, type SideName, sideNames } from '../../core/two-way.ts'
import type { Row, Type, Value } from '../../core/value.ts'
import type { ConflictChange, PairRun, StoredPair } from '../../store/pairs.ts'
import type { Changes } from './changes.ts'
import { intentBody, type Prepared } from './intents.ts'
import type { LoadedItem } from './load.ts'
import { type PairSides, rowCells } from './pair-sides.ts'

/** One write to ask for. */
export interface Request {
  readonly prepared: Prepared
  readonly write: Write
  readonly loaded: LoadedItem
}

/** The writes of a decision on one side. */
export function requestOf(
  sides: PairSides,
  loaded: LoadedItem,
  side: SideName,
  action: Action,
  conflicts: readonly ConflictChange[],
): Request {
  const { pairing } = sides
  const { item, pair, keys } = loaded
  const own = item[side]
  const other = item[otherSide(side)]
  const write = writeOf(sides, side, keys[side], action, own)
  const common = { side, kind: action.kind, pair: pair?.id ?? null, keys, conflicts }
  switch (action.kind) {
    case 'insert': {
      const existing = rowCells(sides, pairing[otherSide(side)], other as Row)
      const prepared: Prepared = {
        ...common,
        at: action.cells.map(({ at }) => at),
        sent: keyText(action.cells.map(({ value }) => value)),
        origin: keyText(action.cells.map(({ at }) => other?.[at] ?? null)),
        before: null,
        reason: action.reason,
        existing,
      }
      return { prepared, write, loaded }
    }
    case 'update': {
      const cells = [...action.cells].sort((a, b) => a.at - b.at)
      const prepared: Prepared = {
        ...common,
        at: cells.map(({ at }) => at),
        sent: keyText(cells.map(({ value }) => value)),
        origin: keyText(cells.map(({ at }) => other?.[at] ?? null)),
        before: keyText(cells.map(({ at }) => own?.[at] ?? null)),
        reason: [...new Set(cells.map(({ reason }) => reason))].join('; '),
        existing: null,
      }
      return { prepared, write, loaded }
    }
    case 'delete': {
      const prepared: Prepared = {
        ...common,
        at: pairing.fields.map((_field, at) => at),
        sent: '[]',
        origin: '[]',
        before: keyText(pairing.fields.map((_field, at) => own?.[at] ?? null)),
        reason: action.reason,
        existing: null,
      }
      return { prepared, write, loaded }
    }
  }
}

/** What an action asks of a side. `own`: the row that it has. */
export function writeOf(
  { pairing }: PairSides,
  side: SideName,
  key: string | null,
  action: Action,
  own: Row | null,
): Write {
  const names = pairing[side].fields
  const values = (cells: readonly { readonly at: number; readonly value: Value }[]): Patch =>
    Object.fromEntries(cells.map(({ at, value }) => [names[at] as string, value]))
  if (action.kind === 'insert') return { kind: 'insert', row: values(action.cells) }
  const had = (places: readonly number[]) => values(places.map((at) => ({ at, value: own?.[at] ?? null })))
  const parts = parseKeyText(key as string)
  if (action.kind === 'update') {
    const cells = [...action.cells].sort((a, b) => a.at - b.at)
    return { kind: 'update', key: parts, fields: values(cells), expected: had(cells.map(({ at }) => at)) }
  }
  // The row must be as it was when its deletion was decided.
  return { kind: 'delete', key: parts, expected: had(pairing.fields.map((_field, at) => at)) }
}

export interface Outcome {
  readonly request: Request
  readonly result: WriteResult
}

/** Intents, then the writes. `forget`: intents whose outcome is in the memory. */
export async function applyRequests(
  sides: PairSides,
  pairs: PairRun,
  writers: Readonly<Record<SideName, Writer>>,
  generation: number,
  batch: string,
  requests: readonly Request[],
  forget: readonly string[],
): Promise<{ readonly outcomes: readonly Outcome[]; readonly intents: readonly string[] }> {
  const parts = sideNames
    .map((side) => ({ side, id: `${batch}/${side}`, own: requests.filter(({ prepared }) => prepared.side === side) }))
    .filter(({ own }) => own.length > 0)
  if (parts.length === 0) return { outcomes: [], intents: [] }
  await pairs.intend(
    generation,
    parts.map(({ side, id, own }) => ({
      id,
      side,
      body: intentBody(
        sides,
        side,
        own.map(({ prepared }) => prepared),
      ),
    })),
  )
  const outcomes: Outcome[] = []
  for (const { side, id, own } of parts) {
    const results = await writers[side].write(
      id,
      own.map(({ write }) => write),
      forget.filter((settled) => settled.endsWith(`/${side}`)),
    )
    own.forEach((request, i) => {
      outcomes.push({ request, result: results[i] ?? { status: 'stale' } })
    })
  }
  return { outcomes, intents: parts.map(({ id }) => id) }
}

/** Takes a write that was done into the memory. `pair`: as it is stored now. */
export function takeResult(
  sides: PairSides,
  changes: Changes,
  prepared: Prepared,
  row: Row | null,
  pair: StoredPair | null,
): void {
  const { pairing } = sides
  const { side, at } = prepared
  const other = otherSide(side)
  const sent = parseKeyText(prepared.sent)
  const origin = parseKeyText(prepared.origin)
  for (const conflict of prepared.conflicts) changes.conflict(conflict)
  if (prepared.kind === 'insert') {
    const key = row === null ? prepared.keys[side] : keyText(keyOfSide(pairing[side], row))
    if (key === null || prepared.existing === null) return
    const keys = { left: prepared.keys.left ?? key, right: prepared.keys.right ?? key, [side]: key }
    const own = row === null ? pairing.fields.map(() => neverCell) : rowCells(sides, pairing[side], row)
    const cells = { [side]: own, [other]: [...prepared.existing] } as Record<SideName, string[]>
    pairing.fields.forEach(({ direction }, i) => {
      if (at.includes(i)) return
      // A field that did not go along counts as changed where it flows from, until it has crossed over.
      const from = flows(direction, other) ? other : side
      const to = otherSide(from)
      cells[from][i] = neverCell
      // What it would write over then is a conflict.
      if (from === side && cells[to][i] !== nullCell(sides, to, i)) cells[to][i] = neverCell
    })
    if (pair === null) changes.pair(keys, cells, side)
    else {
      const draft = changes.draft(pair)
      draft.cells.left = cells.left
      draft.cells.right = cells.right
      changes.rekey(draft, side, key)
    }
    changes.journal({
      side,
      kind: 'insert',
      pair: pair?.id ?? null,
      ...keys,
      fields: [],
      before: null,
      after: null,
      reason: prepared.reason,
    })
    return
  }
  if (pair === null) return
  const keys = { left: pair.left, right: pair.right }
  const names = at.map((i) => pairing.fields[i]?.name ?? '')
  if (prepared.kind === 'delete') {
    changes.remove(pair)
    changes.journal({
      side,
      kind: 'delete',
      pair: pair.id,
      ...keys,
      fields: names,
      before: prepared.before,
      after: null,
      reason: prepared.reason,
    })
    return
  }
  const draft = changes.draft(pair)
  const key = row === null ? pair[side] : keyText(keyOfSide(pairing[side], row))
  if (key !== pair[side]) changes.rekey(draft, side, key)
  at.forEach((i, n) => {
    // What the system made of the value is its side's base; the other side's is what it held when this was decided.
    changes.base(draft, side, i, row === null ? (sent[n] ?? null) : (row[i] ?? null))
    changes.base(draft, other, i, origin[n] ?? null)
  })
  const after = keyText(at.map((i, n) => (row === null ? (sent[n] ?? null) : (row[i] ?? null))))
  changes.journal({
    side,
    kind: 'update',
    pair: pair.id,
    ...keys,
    [side]: key,
    fields: names,
    before: prepared.before,
    after,
    reason: prepared.reason,
  })
}

function nullCell({ layout, types }: PairSides, side: SideName, at: number): string {
  return cellOf(layout.mode, types[side][at] as Type, null)
}
