/**
 * What users did, value by value, and the checks: no value they wrote is lost (S1, S4), no row doubled (S2) or back from
 * the dead (S3), no write by a process that was taken over (S6), and at rest both sides are equal (L1). Every value is
 * unique, so it can be followed wherever it goes.
 */
import type { MemorySystem } from '../../src/connectors/memory-system.ts'
import { keyText, parseKeyText } from '../../src/core/key-text.ts'
import { otherSide, type SideName, sideNames } from '../../src/core/two-way.ts'
import type { Row, Value } from '../../src/core/value.ts'
import type { ConflictRecord, StoredPair } from '../../src/store/pairs.ts'

export class Violation extends Error {}

export class Model {
  readonly #systems: Readonly<Record<SideName, MemorySystem>>
  readonly #collection: string
  /** Numbers of values users wrote, and that a user overwrote or deleted, having had them before their eyes. */
  readonly #written = new Map<string, string>()
  readonly #superseded = new Set<string>()
  /** Origins of rows that a user deleted, by side. */
  readonly #deleted: Readonly<Record<SideName, Set<string>>> = { left: new Set(), right: new Set() }
  /** Origins that the sync brought back. */
  readonly #returned = new Set<string>()
  /** Who may write to a side, by the latest that is known to have taken over. */
  readonly #newest: Record<SideName, number> = { left: 0, right: 0 }
  #userActs = false
  #forgetful = false
  /** Values of conflict records that went with the state that held them. */
  readonly #records: ConflictRecord[] = []
  /** Keys that were ever there. */
  readonly #seen: Readonly<Record<SideName, Set<string>>> = { left: new Set(), right: new Set() }

  constructor(systems: Readonly<Record<SideName, MemorySystem>>, collection: string) {
    this.#systems = systems
    this.#collection = collection
  }

  /** Whether no run has come to its end since the pairs were forgotten. */
  get forgetful(): boolean {
    return this.#forgetful
  }

  check(holds: boolean, message: string): void {
    if (!holds) throw new Violation(message)
  }

  /** Took the fence of a side: whoever had it before writes there no more. */
  claimed(id: number, side: SideName): void {
    this.#newest[side] = id
  }

  /** Came to the end of its run: whoever was frozen meanwhile writes nowhere. */
  ended(id: number): void {
    this.#forgetful = false
    for (const side of sideNames) this.#newest[side] = Math.max(this.#newest[side], id)
  }

  /**
   * The state is another: what was on record has been seen, and what it knew of deletions is forgotten. What a killed run overwrote
   * stood in its intents.
   */
  stateReplaced(conflicts: readonly ConflictRecord[], intents: readonly string[]): void {
    this.#records.push(...conflicts)
    this.#overwritten(intents)
    this.pairsForgotten()
  }

  /** What a killed run wrote over, or brought back, is in its intents, and on record only once another has taken in what became of them. */
  #overwritten(intents: readonly string[]): void {
    const text = intents.join()
    for (const [, number] of text.matchAll(/v(\d+)/gi)) if (number !== undefined) this.#superseded.add(number)
    for (const [origin] of text.matchAll(/\bo\d+\b/g)) this.#returned.delete(origin)
  }

  /** Nothing counts as agreed any more: a row that is on one side only comes back or goes, as the rules say. */
  pairsForgotten(): void {
    this.#forgetful = true
    for (const side of sideNames) this.#deleted[side].clear()
  }

  /**
   * A side was put back. What users wrote there meanwhile, and what had not gone to the other side, is lost by that. `unseen`: no run
   * had written there since, so that it looks like edits of a user.
   */
  sideReplaced(side: SideName, rows: readonly Row[], intents: readonly string[], unseen: boolean): void {
    this.#overwritten(intents)
    const numbers = (of: readonly Row[]) => new Set(of.flatMap((row) => [3, 4].map((at) => numberOf(row[at] ?? null))))
    const kept = numbers(this.#systems[unseen ? side : otherSide(side)].rows(this.#collection))
    for (const number of numbers(rows)) if (number !== null && !kept.has(number)) this.#superseded.add(number)
    this.pairsForgotten()
  }

  userInserts(side: SideName, row: Row): void {
    this.#user(() => this.#systems[side].put(this.#collection, row))
    this.#seen[side].add(keyText([row[0] ?? null]))
    for (const at of [3, 4]) this.#wrote(row[at] ?? null, `${side} insert ${row[1]}`)
  }

  userEdits(side: SideName, before: Row, after: Row, at: number): void {
    this.#supersede(before[at] ?? null)
    this.#user(() => this.#systems[side].put(this.#collection, after))
    this.#wrote(after[at] ?? null, `${side} edit ${after[1]} ${at}`)
  }

  userDeletes(side: SideName, row: Row): void {
    for (const at of [3, 4]) this.#supersede(row[at] ?? null)
    if (!this.#forgetful) this.#deleted[side].add(String(row[1]))
    this.#user(() => this.#systems[side].delete(this.#collection, [row[0] ?? null]))
  }

  #user(act: () => void): void {
    this.#userActs = true
    act()
    this.#userActs = false
  }

  #wrote(value: Value, where: string): void {
    const number = numberOf(value)
    if (number !== null) this.#written.set(number, where)
  }

  #supersede(value: Value): void {
    const number = numberOf(value)
    if (number !== null) this.#superseded.add(number)
  }

  /** Called for everything that is written to a system; users write through the methods above. */
  engineWrites(process: number | null, side: SideName, row: Row | null): void {
    if (this.#userActs) return
    const newest = this.#newest[side]
    this.check(
      Number(process) >= newest,
      `S6: process ${process} wrote to the ${side} after process ${newest} took over`,
    )
    this.#noDoubles()
    if (row === null) return
    const origin = String(row[1])
    const key = keyText([row[0] ?? null])
    if (!this.#seen[side].has(key) && this.#deleted[side].has(origin)) this.#returned.add(origin)
    this.#seen[side].add(key)
  }

  /** S2: a row has one counterpart at most. */
  #noDoubles(): void {
    for (const side of sideNames) {
      const origins = this.#systems[side].rows(this.#collection).map((row) => String(row[1]))
      const twice = origins.find((origin, at) => origins.indexOf(origin) !== at)
      this.check(twice === undefined, `S2: ${twice} is there twice on the ${side}`)
    }
  }

  /** Everything has come to rest. */
  atRest(
    pairs: readonly StoredPair[],
    unpaired: Readonly<Record<SideName, ReadonlySet<string>>>,
    conflicts: readonly ConflictRecord[],
    stored: (side: SideName, row: Row) => Row,
  ): void {
    this.#noDoubles()
    const open = new Map<number, Set<string>>()
    const recorded = new Set<string>()
    const images = new Set<string>()
    for (const conflict of [...this.#records, ...conflicts]) {
      for (const [name, field] of Object.entries(conflict.fields)) {
        for (const value of parseKeyText(field.values)) {
          const number = numberOf(value)
          if (number !== null) recorded.add(number)
          if (typeof value === 'string') images.add(value)
        }
        if (
          this.#records.includes(conflict) ||
          conflict.pair === null ||
          (field.status !== 'open' && field.status !== 'decided')
        )
          continue
        const names = open.get(conflict.pair) ?? new Set()
        open.set(conflict.pair, names.add(conflict.kind === 'delete' ? '*' : name))
      }
    }
    this.#equal(pairs, unpaired, open, stored)
    this.#nothingLost(recorded)
    for (const origin of this.#returned) this.check(images.has(origin), `S3: ${origin} came back without a record`)
  }

  /** L1: each pair is equal as far as its systems can hold it, and every row has a pair. */
  #equal(
    pairs: readonly StoredPair[],
    unpaired: Readonly<Record<SideName, ReadonlySet<string>>>,
    open: ReadonlyMap<number, ReadonlySet<string>>,
    stored: (side: SideName, row: Row) => Row,
  ): void {
    const rows = {
      left: this.#systems.left.table(this.#collection).rows,
      right: this.#systems.right.table(this.#collection).rows,
    }
    for (const side of sideNames) {
      const paired = new Set(pairs.map((pair) => pair[side]))
      for (const key of rows[side].keys())
        this.check(paired.has(key) || unpaired[side].has(key), `L1: row ${key} on the ${side} has no pair`)
    }
    for (const pair of pairs) {
      const names = open.get(pair.id) ?? new Set()
      if (names.has('*')) continue
      const [left, right] = [rows.left.get(pair.left), rows.right.get(pair.right)]
      this.check(
        left !== undefined && right !== undefined,
        `L1: pair ${keyText([pair.left, pair.right])} has lost a row`,
      )
      if (left === undefined || right === undefined) continue
      for (const [at, name] of [
        [1, 'origin'],
        [2, 'email'],
        [3, 'a'],
        [4, 'b'],
      ] as const) {
        if (names.has(name)) continue
        const both = (row: Row) =>
          sideNames.reduce((value, side) => stored(side, stored(otherSide(side), value)), row)[at]
        this.check(
          both(left) === both(right),
          `L1: ${name} of ${left[1]} differs: ${JSON.stringify(left[at])} and ${JSON.stringify(right[at])}`,
        )
      }
    }
  }

  /** S1 and S4: what a user wrote is there, was overwritten by a user who saw it, or is on record as a conflict. */
  #nothingLost(recorded: ReadonlySet<string>): void {
    const there = new Set<string>()
    for (const side of sideNames)
      for (const row of this.#systems[side].rows(this.#collection))
        for (const at of [3, 4]) {
          const number = numberOf(row[at] ?? null)
          if (number !== null) there.add(number)
        }
    for (const [number, where] of this.#written)
      this.check(
        there.has(number) || this.#superseded.has(number) || recorded.has(number),
        `S1: value ${number} (${where}) is lost`,
      )
  }
}

/** The number that makes a value unique, whatever a system did to its spelling. */
function numberOf(value: Value): string | null {
  return typeof value === 'string' ? (/^\s*v(\d+)/i.exec(value)?.[1] ?? null) : null
}
