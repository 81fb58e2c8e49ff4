/**
 * Keys that differ by their spelling only, to systems that take them for one (an interval of 1 mon and one of 30 days): a run
 * updates such a row. A comparison by spelling finds one row missing and another extra.
 */
import type { View } from '../../connectors/connector.ts'
import type { Row } from '../../core/value.ts'
import { type Found, keyOfRow, targetFields } from './comparison.ts'
import type { Sides } from './open.ts'

/** Views besides those that are being compared, to look keys up in. */
export interface Lookups {
  readonly source: View
  readonly target: View
}

/** What was found, with rows whose keys are only spelled anew among the different ones. */
export async function joinRespelled(sides: Sides, found: Found, { source, target }: Lookups): Promise<Found> {
  const { names, pad } = targetFields(sides)
  const held = await lookUp(sides, target, found.missing, names)
  const wanted = await lookUp(sides, source, found.extra, sides.mapping.sourceKey)
  const pairs = found.missing.flatMap((left, at) => pad(held[at] ?? []).map((right) => ({ left, right })))
  return {
    ...found,
    missing: found.missing.filter((_row, at) => held[at]?.length !== 1),
    extra: found.extra.filter((_row, at) => wanted[at]?.length !== 1),
    different: [...found.different, ...pairs],
  }
}

/** The row that the system takes for each of these, if there is one. */
async function lookUp(
  sides: Sides,
  view: View,
  rows: readonly Row[],
  fields: readonly string[],
): Promise<readonly (readonly Row[])[]> {
  const keys = rows.map((row) => keyOfRow(sides, row))
  // Nearly always none is there, and one question tells so.
  if (view.respells !== true || rows.length === 0 || (await view.fetch(keys, fields)).rows.length === 0) return []
  const found: (readonly Row[])[] = []
  for (const key of keys) found.push((await view.fetch([key], fields)).rows)
  return found
}
