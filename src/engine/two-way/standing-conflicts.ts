/** Conflicts on record that no decision about an item opens or ends: matches that are not unique, fields that left the mapping. */
import { endsRun } from '../../core/error.ts'
import { isWhole, keyText, parseKeyText } from '../../core/key-text.ts'
import { keyOf } from '../../core/mapping.ts'
import { keyOfSide, same } from '../../core/pairing.ts'
import type { Schema } from '../../core/schema.ts'
import { otherSide, type SideName, sideNames } from '../../core/two-way.ts'
import type { Row } from '../../core/value.ts'
import type {
  ConflictChange,
  ConflictField,
  ConflictRecord,
  ConflictStatus,
  PairRun,
  Pending,
  Unpaired,
} from '../../store/pairs.ts'
import type { StepEvents } from '../observe/step-events.ts'
import { Changes } from './changes.ts'
import { interrupted } from './detect.ts'
import { type Ambiguity, matchedRow } from './load.ts'
import type { PairSides } from './pair-sides.ts'
import { renamedFields } from './renamed-columns.ts'

const standing: readonly ConflictStatus[] = ['open', 'decided']

/** Looked up at a time. */
const ROWS = 500

export class StandingConflicts {
  readonly #sides: PairSides
  readonly #pairs: PairRun
  readonly #run: string
  readonly #steps: StepEvents
  /** Match values that this run found not to be unique. */
  readonly #matches = new Set<string>()

  constructor(sides: PairSides, pairs: PairRun, run: string, steps: StepEvents) {
    this.#sides = sides
    this.#pairs = pairs
    this.#run = run
    this.#steps = steps
  }

  /** Ends what is on record about fields that this sync has no more; their rows are looked at again. */
  async closeStrays(generation: number): Promise<void> {
    const { project, sync, pairing, memory, state, layout } = this.#sides
    const names = pairing.fields.map(({ name }) => name)
    const renamed = renamedFields(state.layouts.at(-1), layout)
    const strays = await project.store.pairs.conflicts.strays(sync.id, names)
    if (strays.length === 0) return
    const changes = new Changes(this.#sides, this.#run)
    for (const stray of strays) {
      const over = Object.entries(stray.fields).filter(
        ([name, { status }]) => !names.includes(name) && standing.includes(status),
      )
      const ended = over.map(([name, field]) => this.#endedField(name, field, stillThere(renamed.get(name))))
      const goingOn = over.flatMap(([name, field]) => {
        const now = renamed.get(name)
        return now === undefined ? [] : [[now, field] as const]
      })
      changes.conflict(this.#changed(stray, [...ended, ...goingOn]))
    }
    const pairs = strays.flatMap(({ pair }) => (pair === null ? [] : [pair]))
    for (const { id } of await memory.byIds(pairs))
      changes.pend({ pair: id, state: 'again', code: null, message: null })
    const change = changes.commit()
    this.#steps.conflicts(change.conflicts, await this.#pairs.commit(generation, change))
  }

  async putAmbiguous(changes: Changes, ambiguities: readonly Ambiguity[]): Promise<void> {
    if (ambiguities.length === 0) return
    const known = new Set((await this.#matchConflicts()).map(({ left }) => left))
    for (const { match, keys, rows } of ambiguities) {
      for (const side of sideNames)
        for (const key of keys[side]) changes.keep({ side, key, match, state: 'ambiguous', code: null, message: null })
      if (!known.has(match) && !this.#matches.has(match)) changes.conflict(this.#matchConflict(match, rows))
      this.#matches.add(match)
    }
  }

  /**
   * A row whose values another row has, where a match says that the two belong together: somebody renamed the one and made the other. Both
   * are shown until one of them gives way.
   */
  async putClashes(generation: number): Promise<void> {
    const { memory, sync } = this.#sides
    if (sync.match.length === 0 || sync.match.some(({ by }) => by !== null)) return
    const { pairs, unpaired } = await memory.waiting()
    const refused = (one: Pick<Pending | Unpaired, 'state' | 'code'>) =>
      one.state === 'rejected' && (one.code === 'VALUE_TAKEN' || one.code === 'KEY_TAKEN')
    const known = await memory.byIds(pairs.filter(refused).map(({ pair }) => pair))
    const counterparts = new Set(known.map(({ left, right }) => keyText([left, right])))
    const clashes = new Map<string, Ambiguity['rows']>()
    for (const side of sideNames) {
      const keys = unpaired.flatMap((one) => (one.side === side && refused(one) ? [one.key] : []))
      const all = [...keys, ...known.map((pair) => pair[side])]
      for (let start = 0; start < all.length; start += ROWS)
        await this.#clash(side, await this.#fetch(side, all.slice(start, start + ROWS)), counterparts, clashes)
    }
    const told = new Set((await this.#matchConflicts()).map(({ left }) => left))
    const changes = new Changes(this.#sides, this.#run)
    for (const [match, rows] of clashes) {
      if (!told.has(match) && !this.#matches.has(match)) changes.conflict(this.#matchConflict(match, rows))
      this.#matches.add(match)
    }
    const change = changes.commit()
    if (change.conflicts.length > 0)
      this.#steps.conflicts(change.conflicts, await this.#pairs.commit(generation, change))
  }

  /** Adds the rows that have a match in common with rows of the other side. */
  async #clash(
    side: SideName,
    rows: readonly Row[],
    counterparts: ReadonlySet<string>,
    clashes: Map<string, Ambiguity['rows']>,
  ): Promise<void> {
    const { collections, pairing, project, sync } = this.#sides
    if (project.context.signal.aborted) throw interrupted(this.#sides)
    const fields = sync.match.flatMap(({ field }) => pairing.fields.filter(({ name }) => name === field))
    const at = fields.map((field) => pairing.fields.indexOf(field))
    const own = new Map(rows.flatMap((row) => [[pairing.matchOf(side, row), row] as const]))
    own.delete(null)
    const other = otherSide(side)
    const crossed = (row: Row): Row[] => {
      try {
        return [fields.map((field, i) => field.cross(side, row[at[i] ?? -1] ?? null))]
      } catch (error) {
        // Nothing on the other side can have such a value.
        if (endsRun(error)) throw error
        return []
      }
    }
    const values = [...own.values()].flatMap(crossed)
    if (values.length === 0) return
    const found = await collections[other].lookup.find(
      fields.map((field) => field[other].name),
      values,
    )
    const there = await this.#fetch(other, keysIn(collections[other].schema, found))
    const shown = (name: SideName, row: Row) =>
      matchedRow(this.#sides, name, keyText(keyOfSide(pairing[name], row)), row)
    for (const [match, others] of Map.groupBy(there, (row) => pairing.matchOf(other, row))) {
      const row = own.get(match)
      if (match === null || row === undefined || clashes.has(match)) continue
      const both = { [side]: [shown(side, row)], [other]: others.map((one) => shown(other, one)) }
      const { left = [], right = [] } = both
      if (counterparts.has(keyText([left[0]?.[0] ?? null, right[0]?.[0] ?? null]))) continue
      clashes.set(match, { left, right })
    }
  }

  async #fetch(side: SideName, keys: readonly string[]): Promise<readonly Row[]> {
    const { collections, pairing } = this.#sides
    const wanted = keys.map(parseKeyText).filter(isWhole)
    if (wanted.length === 0) return []
    return (await collections[side].lookup.fetch(wanted, pairing[side].fields)).rows
  }

  /** Matches that are unique by now are no conflict any more. */
  async closeMatches(generation: number): Promise<void> {
    const over = (await this.#matchConflicts()).filter(({ left }) => !this.#matches.has(left ?? ''))
    if (over.length === 0) return
    const changes = new Changes(this.#sides, this.#run)
    for (const record of over) changes.conflict(this.#ended(record, Object.entries(record.fields)))
    const change = changes.commit()
    this.#steps.conflicts(change.conflicts, await this.#pairs.commit(generation, change))
  }

  /** What an undo left is over once both sides agree about it, or both rows are gone. */
  async closeUndone(generation: number): Promise<void> {
    const { project, sync } = this.#sides
    const filter = { sync: sync.id, kind: 'undo', status: standing, limit: 1_000_000 } as const
    const records = await project.store.pairs.conflicts.list(filter)
    if (records.length === 0) return
    const rows = { left: await this.#rowsOf('left', records), right: await this.#rowsOf('right', records) }
    const changes = new Changes(this.#sides, this.#run)
    for (const record of records) {
      const pending = Object.entries(record.fields).filter(([, { status }]) => standing.includes(status))
      const row = (side: SideName) => rows[side].get(record[side] ?? '') ?? null
      if (this.#agree(row('left'), row('right'), pending)) changes.conflict(this.#ended(record, pending))
    }
    const change = changes.commit()
    if (change.conflicts.length > 0)
      this.#steps.conflicts(change.conflicts, await this.#pairs.commit(generation, change))
  }

  #agree(
    left: Row | 'unreadable' | null,
    right: Row | 'unreadable' | null,
    fields: readonly (readonly [string, ConflictField])[],
  ): boolean {
    if (left === null || right === null) return left === right
    if (left === 'unreadable' || right === 'unreadable') return false
    return fields.every(([name]) => {
      const at = this.#sides.pairing.fields.findIndex((field) => field.name === name)
      const field = this.#sides.pairing.fields[at]
      return field !== undefined && same(field, left[at] ?? null, right[at] ?? null)
    })
  }

  async #rowsOf(side: SideName, records: readonly ConflictRecord[]): Promise<Map<string, Row | 'unreadable'>> {
    const { collections, pairing } = this.#sides
    const keys = [...new Set(records.flatMap((record) => record[side] ?? []))].map(parseKeyText)
    const found = new Map<string, Row | 'unreadable'>()
    for (let start = 0; start < keys.length; start += ROWS) {
      const chunk = await collections[side].lookup.fetch(keys.slice(start, start + ROWS), pairing[side].fields)
      for (const row of chunk.rows) found.set(keyText(keyOfSide(pairing[side], row)), row)
      for (const { key } of chunk.rejects) found.set(keyText(key), 'unreadable')
    }
    return found
  }

  async #matchConflicts(): Promise<readonly ConflictRecord[]> {
    const { project, sync } = this.#sides
    const filter = { sync: sync.id, kind: 'match', status: standing, limit: 1_000_000 } as const
    return await project.store.pairs.conflicts.list(filter)
  }

  #matchConflict(match: string, rows: Ambiguity['rows']): ConflictChange {
    const { sync, project } = this.#sides
    const values = JSON.stringify([null, JSON.stringify(rows.left), JSON.stringify(rows.right)])
    return {
      id: null,
      kind: 'match',
      pair: null,
      left: match,
      right: null,
      fields: {
        [sync.match.map(({ field }) => field).join(', ')]: { values, rule: 'match', outcome: 'open', status: 'open' },
      },
      run: this.#run,
      atMs: project.context.clock.now(),
    }
  }

  #ended(record: ConflictRecord, fields: readonly (readonly [string, ConflictField])[]): ConflictChange {
    return this.#changed(
      record,
      fields.map(([name, field]) => this.#endedField(name, field)),
    )
  }

  #endedField(name: string, field: ConflictField, note?: string): readonly [string, ConflictField] {
    return [name, { ...field, status: 'agreed', ...(note === undefined ? {} : { note }) }]
  }

  #changed(
    { id, kind, pair, left, right, run }: ConflictRecord,
    fields: readonly (readonly [string, ConflictField])[],
  ): ConflictChange {
    const atMs = this.#sides.project.context.clock.now()
    return { id, kind, pair, left, right, fields: Object.fromEntries(fields), run, atMs }
  }
}

/** Keys of rows in the order of a schema. */
function keysIn(schema: Schema, rows: readonly Row[]): string[] {
  const at = schema.key.map((name) => schema.fields.findIndex((field) => field.name === name))
  const types = at.map((place) => schema.fields[place]?.type ?? 'text')
  return rows.map((row) => keyText(keyOf(row, at, types)))
}

/** Why a field is over that the sync has no more under this name. */
function stillThere(name: string | undefined): string {
  return name === undefined
    ? 'the field has left the mapping; both sides keep what they hold'
    : `the field is called ${name} now, and goes on under that name`
}
