/**
 * Intents as they are stored. What was asked for speaks in the places of fields, which another definition may order anew
 * before a crash is recovered from: the layout and the columns that it was asked under are told with it.
 */
import { keyText, parseKeyText } from '../../core/key-text.ts'
import type { Action } from '../../core/reconcile.ts'
import type { SideName } from '../../core/two-way.ts'
import type { Row } from '../../core/value.ts'
import type { ConflictChange } from '../../store/pairs.ts'
import { cellsIn, type PairSides } from './pair-sides.ts'

/** A write with all that is needed to take its result into the memory, also after a crash: the body of an intent. */
export interface Prepared {
  readonly side: SideName
  readonly kind: Action['kind']
  /** Null: the pair is made by this insert. */
  readonly pair: number | null
  readonly keys: Readonly<Record<SideName, string | null>>
  /** Fields written (of a deletion: all), and of each the value sent, and what the other side held, as texts of keys. */
  readonly at: readonly number[]
  readonly sent: string
  readonly origin: string
  /** The row before, as far as it is written over: for the journal. */
  readonly before: string | null
  readonly reason: string
  /** Of an insert: the cells of the row that is there already. */
  readonly existing: readonly string[] | null
  /** Conflicts that this write decides: on record once it is done. */
  readonly conflicts: readonly ConflictChange[]
}

interface Intended {
  readonly layout: number
  /** Of the rows that the side answers with. */
  readonly columns: readonly string[]
  readonly writes: readonly Prepared[]
}

export function intentBody({ layout, pairing }: PairSides, side: SideName, writes: readonly Prepared[]): string {
  return JSON.stringify({ layout: layout.id, columns: pairing[side].fields, writes } satisfies Intended)
}

/** How many writes an intent asks for. */
export function intendedWrites(body: string): number {
  return parse(body).writes.length
}

export interface Recovered {
  /** In the present layout; fields that left the mapping are not in it. */
  readonly writes: readonly Prepared[]
  /** A row that the side answered then, as it is read now. */
  row(row: Row): Row
}

export function readIntent(sides: PairSides, side: SideName, body: string): Recovered {
  const { layout, columns, writes } = parse(body)
  const now = sides.pairing[side].fields.map((name) => columns.indexOf(name))
  return {
    writes: writes.map((write) => (layout === sides.layout.id ? write : inPresentLayout(sides, layout, write))),
    row: (row) => now.map((at) => row[at] ?? null),
  }
}

function inPresentLayout(sides: PairSides, id: number, write: Prepared): Prepared {
  const { layout, state } = sides
  const from = state.layouts.find((known) => known.id === id)
  const places = (from?.fields ?? []).map(({ name }) =>
    layout.fields.findIndex((field) => field.name === name && field.since <= id),
  )
  const kept = write.at.flatMap((at, n) => ((places[at] ?? -1) < 0 ? [] : [n]))
  const only = (values: string) => {
    const parts = parseKeyText(values)
    return keyText(kept.map((n) => parts[n] ?? null))
  }
  return {
    ...write,
    at: kept.map((n) => places[write.at[n] ?? -1] ?? -1),
    sent: only(write.sent),
    origin: only(write.origin),
    before: write.before === null ? null : only(write.before),
    existing: write.existing === null ? null : cellsIn(sides, from, write.existing),
  }
}

/** This engine wrote it, and nobody else does. */
function parse(body: string): Intended {
  return JSON.parse(body) as Intended
}
