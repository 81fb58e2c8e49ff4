/** The keys that a side still has, in a temporary table; what is known and not among them is marked. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { SideName } from '../../core/two-way.ts'
import type { Sweep } from '../pairs.ts'
import { prepared } from './statements.ts'

export interface SweepOf {
  readonly opening: number
  pairing(): number
  /** Hears how many rows were marked. */
  marked(count: number): void
}

export class SqliteSweep implements Sweep {
  readonly #database: DatabaseSync
  readonly #of: SweepOf
  #side: SideName = 'left'

  constructor(database: DatabaseSync, of: SweepOf) {
    this.#database = database
    this.#of = of
  }

  async begin(side: SideName): Promise<void> {
    this.#side = side
    this.#forget()
  }

  async saw(keys: readonly string[]): Promise<void> {
    const see = this.#prepare('insert into temp.seen (opening, key) values (?, ?) on conflict do nothing')
    for (const key of keys) see.run(this.#of.opening, key)
  }

  async end(): Promise<number> {
    const unseen = (column: string) =>
      `not exists (select 1 from temp.seen where seen.opening = :o and seen.key = ${column})`
    const of = { o: this.#of.opening, p: this.#of.pairing() }
    const pairs = this.#prepare(
      `insert into temp.marked (opening, phase, pair)
       select :o, 'writes', id from pair where pairing = :p and ${unseen(`${this.#side}_key`)} on conflict do nothing`,
    ).run(of)
    const rows = this.#prepare(
      `insert into temp.marked (opening, phase, side, key) select :o, 'writes', side, key from unpaired
       where pairing = :p and side = :side and ${unseen('unpaired.key')} on conflict do nothing`,
    ).run({ ...of, side: this.#side })
    this.#forget()
    const marked = Number(pairs.changes) + Number(rows.changes)
    this.#of.marked(marked)
    return marked
  }

  #forget(): void {
    this.#prepare('delete from temp.seen where opening = ?').run(this.#of.opening)
  }

  #prepare(sql: string): StatementSync {
    return prepared(this.#database, sql)
  }
}
