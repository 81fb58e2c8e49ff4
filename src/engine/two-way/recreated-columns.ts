/**
 * Columns that were dropped and made anew since both sides agreed: people emptied no rows there. Such a field counts as one
 * that came to the mapping now, so that what both sides hold stands.
 */
import { everything } from '../../connectors/connector.ts'
import { cellOf, neverCell, unknownCell } from '../../core/base.ts'
import { keyText } from '../../core/key-text.ts'
import { keyOf } from '../../core/mapping.ts'
import { ownValue } from '../../core/own-value.ts'
import { type SideName, sideNames } from '../../core/two-way.ts'
import type { Type } from '../../core/value.ts'
import type { Layout } from '../../store/pairs.ts'
import { cellsOfPair, type PairSides } from './pair-sides.ts'

/** Places of the fields whose column is another one on either side. Reads rows only where the marks of columns changed. */
export async function renewedFields(sides: PairSides): Promise<ReadonlySet<number>> {
  const renewed = new Set<number>()
  const before = marksBefore(sides.state.layouts)
  if (before === undefined) return renewed
  for (const side of sideNames) {
    const now = sides.columns[side]
    if (now === null) continue
    const { fields } = sides.pairing[side]
    const suspects = sides.pairing.fields.flatMap((_field, at) => {
      const name = fields[at] ?? ''
      const mark = ownValue(before[side], name)
      return mark === undefined || mark === ownValue(now.marks, name) ? [] : [at]
    })
    for (const at of await holdNothing(sides, side, suspects, now.exact)) renewed.add(at)
  }
  return renewed
}

/** The marks of columns as the last run found them that came to its end: one that was cut short has none. */
export function marksBefore(layouts: readonly Layout[]): Layout['columns'] {
  return layouts.findLast(({ columns }) => columns !== undefined)?.columns
}

/** Where marks are not exact: how many rows have to hold the same, if it is not NULL, to be taken for a column's default. */
const MANY = 3

/** What a column's rows say of it. */
interface Witness {
  /** The one cell of all rows; null: none yet. */
  only: string | null
  rows: number
  /** Whether a row had a value when both sides agreed. */
  hadValues: boolean
}

/**
 * Fields that no row holds as it was agreed. Where marks are not exact, all rows must hold the same by now, too: the default
 * of a new column.
 */
async function holdNothing(
  sides: PairSides,
  name: SideName,
  suspects: readonly number[],
  exact: boolean,
): Promise<number[]> {
  const { memory, pairing, layout } = sides
  const side = pairing[name]
  const left = new Map(suspects.map((at): [number, Witness] => [at, { only: null, rows: 0, hadValues: false }]))
  if (left.size === 0) return []
  const fields = [...new Set([...suspects.map((at) => side.fields[at] ?? ''), ...side.schema.key])]
  await using view = await sides.collections[name].view?.({ fields, where: null })
  if (view === undefined) return []
  const keyAt = side.schema.key.map((part) => fields.indexOf(part))
  for await (const chunk of view.scan(everything, fields)) {
    const keys = chunk.rows.map((row) => keyText(keyOf(row, keyAt, side.keyTypes)))
    const pairs = new Map((await memory.byKeys(name, keys)).map((pair) => [pair[name], pair]))
    chunk.rows.forEach((row, i) => {
      const pair = pairs.get(keys[i] ?? '')
      if (pair === undefined) return
      const cells = cellsOfPair(sides, pair)[name]
      for (const [at, witness] of left) {
        const type = sides.types[name][at] as Type
        const base = cells[at] ?? unknownCell
        const now = cellOf(layout.mode, type, row[fields.indexOf(side.fields[at] ?? '')] ?? null)
        const hadValue = base !== neverCell && base !== unknownCell && base !== cellOf(layout.mode, type, null)
        const another = witness.only !== null && witness.only !== now
        if ((hadValue && base === now) || (!exact && another)) left.delete(at)
        witness.only = now
        witness.rows++
        witness.hadValues ||= hadValue
      }
    })
    if (left.size === 0) break
  }
  return [...left].flatMap(([at, { only, rows, hadValues }]) => {
    const empty = only === cellOf(layout.mode, sides.types[name][at] as Type, null)
    return hadValues && (exact || empty || rows >= MANY) ? [at] : []
  })
}
