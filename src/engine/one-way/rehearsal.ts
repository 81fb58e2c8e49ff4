/** What a target makes of rows that are to be written: it may spell values its own way, or refuse them. */
import { differsByMeaning } from '../../core/diff.ts'
import type { Row } from '../../core/value.ts'
import type { Found } from './comparison.ts'
import type { Sides } from './open.ts'

/** What was found, with rows as the target would store them. */
export interface Rehearsed extends Found {
  /** Rows that the target would refuse: among those missing or different. */
  readonly refused: ReadonlySet<Row>
}

/** A row that differs only until the target has stored it is no difference. */
export async function rehearse(sides: Sides, found: Found): Promise<Rehearsed> {
  const { sink, spec } = sides
  const given = [...found.missing, ...found.different.map(({ left }) => left)]
  const refused = new Set<Row>()
  if (sink.rehearse === undefined || given.length === 0) return { ...found, refused }
  const stored = (await sink.rehearse(spec, given)).map((row, at) => {
    const before = given[at] ?? []
    if (row === null) refused.add(before)
    return row ?? before
  })
  const types = spec.schema.fields.map(({ type }) => type)
  const differs = differsByMeaning(types)
  const different = found.different
    .map(({ right }, at) => ({ left: stored[found.missing.length + at] ?? [], right }))
    .filter(({ left, right }) => refused.has(left) || differs(left, right))
  return {
    ...found,
    missing: stored.slice(0, found.missing.length),
    different,
    same: found.same + found.different.length - different.length,
    refused,
  }
}

/** Rows as the target would store them; one that it would refuse as it is. */
export async function asStored({ sink, spec }: Sides, rows: readonly Row[]): Promise<readonly Row[]> {
  if (sink.rehearse === undefined) return rows
  return (await sink.rehearse(spec, rows)).map((row, at) => row ?? rows[at] ?? [])
}
