/** What a run would change. Writes nothing. */
import type { View } from '../../connectors/connector.ts'
import { holds } from '../../core/guard.ts'
import { isWhole, keyText } from '../../core/key-text.ts'
import { keyOf } from '../../core/mapping.ts'
import type { PrintedKey } from '../../core/run.ts'
import { isDrift, type SchemaChange } from '../../core/schema.ts'
import type { Sync } from '../../core/sync.ts'
import type { SyncId } from '../../core/sync-id.ts'
import { equal, type Key, type Row, type Value } from '../../core/value.ts'
import type { Project } from '../project.ts'
import { compareSides, type Found, keepsExtra, keyOfRow, printKey } from './comparison.ts'
import { joinRespelled } from './equivalent-keys.ts'
import { openSides, type Sides } from './open.ts'
import { type Rehearsed, rehearse } from './rehearsal.ts'
import { chooseReading } from './run.ts'

export interface Plan {
  readonly sync: SyncId
  readonly inserts: number
  readonly updates: number
  readonly deletes: number
  /** Rows that can't be read or mapped and so will not be written. */
  readonly rejected: number
  readonly schema: readonly SchemaChange[]
  /** How the next run would read the source, and why, in words. */
  readonly reading: string
  /** Whether the guard would hold the run, or the schema drifted. */
  readonly held: boolean
  readonly samples: readonly Sample[]
}

/** One row that would change; `fields` names what differs (for an insert: all, from null). */
export interface Sample {
  readonly key: PrintedKey
  readonly kind: 'insert' | 'update' | 'delete'
  readonly fields: Readonly<Record<string, { readonly from: Value; readonly to: Value }>>
}

const MAX_SAMPLES_PER_KIND = 5

export async function planSync(sync: Sync, project: Project): Promise<Plan> {
  await using sides = await openSides(sync, project)
  const drifted = sides.changes.some(isDrift)
  await using source = await openSource(sides)
  await using target = sides.state.schema === null || drifted ? null : await sides.sink.view(sides.spec)
  await using written = target === null || !sides.spec.adopt ? null : await sides.sink.view(sides.spec, 'written')
  const respells = target?.respells === true
  await using lookedUpLeft = respells ? await openSource(sides) : null
  await using lookedUpRight = respells ? await sides.sink.view(sides.spec) : null
  const lookups =
    lookedUpLeft === null || lookedUpRight === null ? null : { source: lookedUpLeft, target: lookedUpRight }
  const targetRows = target === null ? 0 : await target.count()
  const totals = { inserts: 0, updates: 0, deletes: 0, rejected: 0 }
  const samples = new Samples(sides)
  const duplicates = new Set<string>()
  const unreadable = new Map<string, Key>()
  if (!drifted) {
    for await (const spelled of compareSides(sides, source, target)) {
      if (project.context.signal.aborted) break
      const joined = lookups === null ? spelled : await joinRespelled(sides, spelled, lookups)
      const found = writable(sides, await rehearse(sides, joined))
      const extra = keepsExtra(sides) ? [] : await deletable(sides, found.extra, written)
      totals.inserts += found.missing.length
      totals.updates += found.different.length
      totals.deletes += extra.length
      totals.rejected += found.rejects.filter(
        ({ code, key }) => code !== 'KEY_DUPLICATE' || isNew(duplicates, keyText(key)),
      ).length
      for (const { key } of joined.rejects) if (isWhole(key)) unreadable.set(keyText(key), key)
      samples.add(
        'insert',
        found.missing.map((left) => ({ left, right: null })),
      )
      samples.add('update', found.different)
      samples.add(
        'delete',
        extra.map((right) => ({ left: null, right })),
      )
    }
  }
  // A row that can't be read is no deletion: the target keeps what it holds of it.
  const kept = await (written ?? target)?.fetch([...unreadable.values()], sides.spec.schema.key)
  const deletes = Math.max(0, totals.deletes - (kept?.rows.length ?? 0))
  const released = await project.store.runs.released(sync.id)
  const held = drifted || holds(sync.guard, { deletes, targetRows, sourceRows: await source.count(), released })
  return {
    sync: sync.id,
    ...totals,
    deletes,
    schema: sides.changes,
    reading: await describeReading(sides, targetRows),
    held,
    samples: samples.all,
  }
}

/** Rows that have one key are one rejected row, as in a run. */
function isNew(known: Set<string>, key: string): boolean {
  return known.size < known.add(key).size
}

/** Without the rows that the target would refuse, which are told as rejected. */
function writable(sides: Sides, found: Rehearsed): Found {
  const { refused } = found
  const rejects = [...refused].map((row) => ({
    key: keyOfRow(sides, row),
    code: 'VALUE_REFUSED',
    message: 'the target would refuse the row',
  }))
  return {
    ...found,
    missing: found.missing.filter((row) => !refused.has(row)),
    different: found.different.filter(({ left }) => !refused.has(left)),
    rejects: [...found.rejects, ...rejects],
  }
}

async function openSource({ source, mapping }: Sides): Promise<View> {
  if (source.view === undefined) throw new Error(`the connector of ${source.schema.name} can't show a view`)
  return source.view(mapping.selection)
}

/** Of rows that only the target has, those that a run deletes. `written`: the only ones that it may; null: any. */
async function deletable(sides: Sides, extra: readonly Row[], written: View | null): Promise<readonly Row[]> {
  if (written === null || extra.length === 0) return extra
  const { schema, keyTypes } = sides.mapping
  const keys = extra.map((row) => keyOfRow(sides, row))
  const { rows } = await written.fetch(keys, schema.key)
  const keyAt = keyTypes.map((_type, at) => at)
  const theirs = new Set(rows.map((row) => keyText(keyOf(row, keyAt, keyTypes))))
  return extra.filter((_row, at) => theirs.has(keyText(keys[at] ?? [])))
}

async function describeReading(sides: Sides, targetRows: number): Promise<string> {
  if (sides.state.schema === null) return 'copy everything: the target table does not exist yet'
  const reading = chooseReading(sides, { checkpoint: sides.state.checkpoint, empty: targetRows === 0 }, [])
  switch (reading.kind) {
    case 'copy':
      return 'copy everything: the target is empty'
    case 'follow':
      return 'read what may have changed since the last run'
    case 'compare':
      return `compare both sides in full: ${reading.why}`
  }
}

/** Characters or bytes of a value in a sample. */
const SAMPLE_LENGTH = 10_000

/** A value that people can look at. */
function shortened(value: Value): Value {
  if (typeof value === 'string' && value.length > SAMPLE_LENGTH) return `${value.slice(0, SAMPLE_LENGTH)}…`
  return value instanceof Uint8Array && value.length > SAMPLE_LENGTH ? value.subarray(0, SAMPLE_LENGTH) : value
}

/** The first few rows of each kind. */
class Samples {
  readonly #sides: Sides
  readonly #samples: Sample[] = []

  constructor(sides: Sides) {
    this.#sides = sides
  }

  get all(): readonly Sample[] {
    return this.#samples
  }

  add(kind: Sample['kind'], pairs: readonly { readonly left: Row | null; readonly right: Row | null }[]): void {
    const room = MAX_SAMPLES_PER_KIND - this.#samples.filter((sample) => sample.kind === kind).length
    for (const { left, right } of pairs.slice(0, Math.max(0, room))) {
      const row = left ?? right
      if (row !== null)
        this.#samples.push({
          key: printKey(this.#sides, keyOfRow(this.#sides, row)),
          kind,
          fields: this.#changed(left, right),
        })
    }
  }

  #changed(left: Row | null, right: Row | null): Sample['fields'] {
    const fields = this.#sides.spec.schema.fields.flatMap(({ name, type }, at) => {
      const [from, to] = [right?.[at] ?? null, left?.[at] ?? null]
      return left === null || right === null || !equal(type, from, to)
        ? [[name, { from: shortened(from), to: shortened(to) }] as const]
        : []
    })
    return Object.fromEntries(fields)
  }
}
