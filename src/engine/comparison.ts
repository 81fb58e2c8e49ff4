/** Both sides of a sync compared by meaning, row by row: what plan and verify share. Writes nothing. */
import type { Chunk, View } from '../connectors/connector.ts'
import { everything } from '../connectors/connector.ts'
import { compareRows, type Differences, differsByMeaning } from '../core/diff.ts'
import { keyOf } from '../core/mapping.ts'
import type { PrintedKey } from '../core/run.ts'
import type { Rejection } from '../core/sync.ts'
import type { Key, Row } from '../core/value.ts'
import type { Sides } from './sides.ts'

/** Rows the source can't give, found on the way. */
export interface Found extends Differences {
  readonly rejects: readonly Rejection[]
}

/** Every difference between what the target should hold and what it holds. A null target holds nothing. */
export async function* compareSides(sides: Sides, source: View, target: View | null): AsyncIterable<Found> {
  const { mapping, spec } = sides
  const rejects: Rejection[] = []
  const held = fieldsHeld(sides)
  const types = spec.schema.fields.map((field) => field.type)
  const stream = compareRows(
    shouldHold(sides, source.scan(everything, mapping.selection.fields), rejects),
    target === null ? none() : holds(sides, target, held),
    {
      keyAt: mapping.keyAtTarget,
      keyTypes: mapping.keyTypes,
      differs: differsByMeaning(types),
    },
  )
  for await (const found of stream) yield { ...found, rejects: rejects.splice(0) }
  // Where no row could be given, or none after the last that could, nothing was compared.
  if (rejects.length > 0) yield { missing: [], extra: [], different: [], same: 0, rejects: rejects.splice(0) }
}

/** A row's key as people see it. */
export function printKey({ mapping }: Sides, key: Key): PrintedKey {
  return Object.fromEntries(mapping.schema.key.map((name, at) => [name, key[at] ?? null]))
}

export function keyOfRow({ mapping }: Sides, row: Row): Key {
  return keyOf(row, mapping.keyAtTarget, mapping.keyTypes)
}

/** Fields of the spec that the target has already: a field about to be added reads as NULL. */
function fieldsHeld({ spec, state }: Sides): readonly (string | null)[] {
  const there = new Set(state.schema?.fields.map((field) => field.name))
  return spec.schema.fields.map(({ name }) => (there.has(name) ? name : null))
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

async function* holds(_sides: Sides, target: View, held: readonly (string | null)[]): AsyncIterable<readonly Row[]> {
  const names = held.filter((name) => name !== null)
  const complete = names.length === held.length
  const at = held.map((name) => (name === null ? -1 : names.indexOf(name)))
  for await (const { rows } of target.scan(everything, names)) {
    yield complete ? rows : rows.map((row) => at.map((index) => row[index] ?? null))
  }
}

async function* none(): AsyncIterable<readonly Row[]> {}

/** The rows of chunks. */
export async function* rowsOf(chunks: AsyncIterable<Chunk>): AsyncIterable<readonly Row[]> {
  for await (const chunk of chunks) yield chunk.rows
}
