/** Both sides of a sync compared by meaning, row by row: what plan and verify share. Writes nothing. */
import type { Chunk, View } from '../../connectors/connector.ts'
import { everything } from '../../connectors/connector.ts'
import { compareRows, type Differences, differsByMeaning } from '../../core/diff.ts'
import { keyOf } from '../../core/mapping.ts'
import type { PrintedKey } from '../../core/run.ts'
import type { Rejection } from '../../core/sync.ts'
import type { Key, Row } from '../../core/value.ts'
import { isForeign, type Sides } from './open.ts'

/** Rows that a side can't give, found on the way. */
export interface Found extends Differences {
  /** Of the source, or not to be mapped. */
  readonly rejects: readonly Rejection[]
  /** Of the target: such a row counts as missing there, if the source has it. */
  readonly unreadable: readonly Rejection[]
}

/** Every difference between what the target should hold and what it holds. A null target holds nothing. */
export async function* compareSides(sides: Sides, source: View, target: View | null): AsyncIterable<Found> {
  const { mapping, spec } = sides
  const rejects: Rejection[] = []
  const unreadable: Rejection[] = []
  const types = spec.schema.fields.map((field) => field.type)
  const stream = compareRows(
    shouldHold(sides, source.scan(everything, mapping.selection.fields), rejects),
    target === null ? none() : holds(sides, target, unreadable),
    {
      keyAt: mapping.keyAtTarget,
      keyTypes: mapping.keyTypes,
      differs: differsByMeaning(types),
    },
  )
  const met = () => ({ rejects: rejects.splice(0), unreadable: unreadable.splice(0) })
  for await (const found of stream) yield { ...found, ...met() }
  // Where no row could be given, or none after the last that could, nothing was compared.
  if (rejects.length + unreadable.length > 0) yield { missing: [], extra: [], different: [], same: 0, ...met() }
}

/** A row's key as people see it. */
export function printKey({ mapping }: Sides, key: Key): PrintedKey {
  return Object.fromEntries(mapping.schema.key.map((name, at) => [name, key[at] ?? null]))
}

export function keyOfRow({ mapping }: Sides, row: Row): Key {
  return keyOf(row, mapping.keyAtTarget, mapping.keyTypes)
}

/** Whether rows that only the target has are no difference. */
export function keepsExtra(sides: Sides): boolean {
  return sides.sync.deletes === 'keep' || isForeign(sides)
}

/** How to read the target as the spec has it: the fields it holds already, and a field about to be added as NULL. */
export function targetFields({ spec, state }: Sides): {
  readonly names: readonly string[]
  readonly pad: (rows: readonly Row[]) => readonly Row[]
} {
  const there = new Set(state.schema?.fields.map((field) => field.name))
  const wanted = spec.schema.fields.map(({ name }) => name)
  const names = wanted.filter((name) => there.has(name))
  if (names.length === wanted.length) return { names, pad: (rows) => rows }
  const at = wanted.map((name) => names.indexOf(name))
  return { names, pad: (rows) => rows.map((row) => at.map((index) => row[index] ?? null)) }
}

async function* shouldHold(
  { mapping }: Sides,
  chunks: AsyncIterable<Chunk>,
  rejects: Rejection[],
): AsyncIterable<readonly Row[]> {
  for await (const chunk of chunks) {
    const mapped = mapping.map(chunk.rows)
    rejects.push(...chunk.rejects, ...mapped.rejects)
    yield mapped.rows
  }
}

async function* holds(sides: Sides, target: View, unreadable: Rejection[]): AsyncIterable<readonly Row[]> {
  const { names, pad } = targetFields(sides)
  for await (const { rows, rejects } of target.scan(everything, names)) {
    unreadable.push(...rejects)
    yield pad(rows)
  }
}

async function* none(): AsyncIterable<readonly Row[]> {}

/** The rows of chunks. */
export async function* rowsOf(
  chunks: AsyncIterable<Chunk>,
  onRejects: (rejects: readonly Rejection[]) => void = () => {},
): AsyncIterable<readonly Row[]> {
  for await (const { rows, rejects } of chunks) {
    onRejects(rejects)
    yield rows
  }
}
