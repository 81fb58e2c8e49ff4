/**
 * Columns that have another name than when both sides agreed, and are the same: what is remembered of them goes on under the new
 * name. Only a system whose marks are exact can tell (Postgres); elsewhere a renamed column is one that left and one that came.
 */
import { type SideName, sideNames } from '../../core/two-way.ts'
import type { Layout, PairState } from '../../store/pairs.ts'
import type { ColumnMarks } from './pair-sides.ts'
import { marksBefore } from './recreated-columns.ts'

type Renames = Readonly<Record<SideName, ReadonlyMap<string, string>>>

/** The state in the names that the columns have now. */
export function inPresentNames(state: PairState, columns: ColumnMarks): PairState {
  const renames = { left: renamed('left', state, columns), right: renamed('right', state, columns) }
  if (sideNames.every((side) => renames[side].size === 0)) return state
  return { ...state, layouts: state.layouts.map((layout) => withNames(layout, renames)) }
}

/** New names by old ones. */
function renamed(side: SideName, { layouts }: PairState, columns: ColumnMarks): ReadonlyMap<string, string> {
  const before = marksBefore(layouts)?.[side] ?? {}
  const now = columns[side]
  if (now === null || !now.exact) return new Map()
  const names = new Map(Object.entries(now.marks).map(([name, mark]) => [mark, name]))
  return new Map(
    Object.entries(before).flatMap(([old, mark]) => {
      const name = names.get(mark)
      return name === undefined || name === old ? [] : [[old, name] as const]
    }),
  )
}

function withNames(layout: Layout, renames: Renames): Layout {
  const on = (side: SideName, name: string) => renames[side].get(name) ?? name
  const marks = (side: SideName) =>
    Object.fromEntries(Object.entries(layout.columns?.[side] ?? {}).map(([name, mark]) => [on(side, name), mark]))
  const names = layout.fields.map(({ name }) => {
    const [left = '', right = ''] = JSON.parse(name) as readonly string[]
    return JSON.stringify([on('left', left), on('right', right)])
  })
  return {
    ...layout,
    // It tells of the former names and their order: whatever the definition says now is another.
    fingerprint: '',
    fields: layout.fields.map((field, at) => {
      const name = names[at] ?? field.name
      // A column of that name that was there before is another one.
      const former = name === field.name && names.some((other, i) => i !== at && other === name)
      return { ...field, name: former ? JSON.stringify([...(JSON.parse(name) as string[]), 'former']) : name }
    }),
    keys: {
      left: layout.keys.left.map((name) => on('left', name)),
      right: layout.keys.right.map((name) => on('right', name)),
    },
    ...(layout.columns === undefined ? {} : { columns: { left: marks('left'), right: marks('right') } }),
  }
}

/** What the config calls fields now that it called otherwise in the last run, by their former names. */
export function renamedFields(before: Layout | undefined, now: Layout): ReadonlyMap<string, string> {
  const names = new Map(now.fields.map(({ name, called }) => [name, called]))
  return new Map(
    (before?.fields ?? []).flatMap(({ name, called }) => {
      const calledNow = names.get(name)
      return called === undefined || calledNow === undefined || called === calledNow
        ? []
        : [[called, calledNow] as const]
    }),
  )
}
