/** Both sides of a two-way sync, opened: collections, what is remembered of their pairs, and the fields between them. */
import type { Collection, Columns } from '../../connectors/connector.ts'
import { cellsOf, decodeCells, encodeCells, hashCell, hashedCell, neverCell, unknownCell } from '../../core/base.ts'
import type { Pairing, PairSide } from '../../core/pairing.ts'
import type { SideName, TwoWaySync } from '../../core/two-way.ts'
import type { Row, Type } from '../../core/value.ts'
import type { Layout, PairReader, PairState, StoredPair } from '../../store/pairs.ts'
import type { Project } from '../project.ts'
import type { Keyless } from './keyless.ts'

/** What tells each side's columns from others that had their names before; null: nothing does. */
export type ColumnMarks = Readonly<Record<SideName, Columns | null>>

export interface PairSides extends AsyncDisposable {
  readonly sync: TwoWaySync
  readonly project: Project
  readonly pairing: Pairing
  readonly collections: Readonly<Record<SideName, Collection>>
  readonly memory: PairReader
  readonly state: PairState
  /** What the cells of new bases are. */
  readonly layout: Layout
  /** Why both sides have to be read in full; null: they need not. */
  readonly afresh: string | null
  readonly types: Readonly<Record<SideName, readonly Type[]>>
  readonly columns: ColumnMarks
  /** Whose fences each side holds for this sync, by project; null: it keeps none. */
  readonly fences: Readonly<Record<SideName, ReadonlyMap<string, number> | null>>
  /** Rows of a side that have no whole key. */
  readonly keyless: (side: SideName) => Promise<Keyless>
  /** Rows that were refused when a side was read because others have their key, by that key as text: a look-up may give one of them. */
  readonly duplicates: Readonly<Record<SideName, Map<string, { readonly code: string; readonly message: string }>>>
  /** Keys of rows without a pair that a look-up of this run did not find: a later one that does is of a replica that lags, or of a row for the next run. */
  readonly gone: Readonly<Record<SideName, Set<string>>>
  /** Collections of each side's connection whose rows no deletion may take along. */
  readonly held: Readonly<Record<SideName, readonly string[]>>
}

/** A stored base in the present layout. */
export function cellsOfPair(sides: PairSides, pair: StoredPair): Record<SideName, string[]> {
  const { layout, state } = sides
  if (pair.layout === 0) {
    const none = layout.fields.map(() => neverCell)
    return { left: none, right: [...none] }
  }
  const from = pair.layout === layout.id ? layout : state.layouts.find(({ id }) => id === pair.layout)
  const decode = (text: string) => cellsIn(sides, from, decodeCells(from?.mode ?? layout.mode, text))
  const left = decode(pair.leftBase)
  return { left, right: pair.rightBase === null ? [...left] : decode(pair.rightBase) }
}

/** Cells of an earlier layout in the present one. Undefined: nobody knows which it was. */
export function cellsIn({ layout }: PairSides, from: Layout | undefined, cells: readonly string[]): string[] {
  if (from === undefined) return layout.fields.map(() => unknownCell)
  if (from.id === layout.id) return [...cells]
  return layout.fields.map(({ name, since }) => {
    const at = from.fields.findIndex((field) => field.name === name)
    const cell = at < 0 || since > from.id ? unknownCell : (cells[at] ?? unknownCell)
    if (from.mode === layout.mode) return cell
    return from.mode === 'values' ? hashCell(cell) : hashedCell(cell)
  })
}

/** The stored form of both sides' cells. */
export function encodePair(
  { layout }: PairSides,
  cells: Readonly<Record<SideName, readonly string[]>>,
): Pick<StoredPair, 'leftBase' | 'rightBase' | 'layout'> {
  const leftBase = encodeCells(layout.mode, cells.left)
  const rightBase = encodeCells(layout.mode, cells.right)
  return { leftBase, rightBase: rightBase === leftBase ? null : rightBase, layout: layout.id }
}

/** The cells of one side's row. */
export function rowCells({ layout, types, pairing }: PairSides, side: PairSide, row: Row): string[] {
  return cellsOf(layout.mode, types[side.name], row, pairing.fields.length)
}
