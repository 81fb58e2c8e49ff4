/** What is durable of one sync's pairs, to look at. It holds no state: a reader beside a run touches nothing of it. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { SideName } from '../../core/two-way.ts'
import type { Intent, PairReader, PairState, Pending, StoredPair, Unpaired } from '../pairs.ts'
import { numberOrNull, textOrNull, toPair, toUnpaired } from './pair-rows.ts'
import { chunks, marks, prepared } from './statements.ts'

export class SqlitePairReader implements PairReader {
  readonly #database: DatabaseSync
  readonly #sync: string

  constructor(database: DatabaseSync, sync: string) {
    this.#database = database
    this.#sync = sync
  }

  async state(): Promise<PairState> {
    const row = this.#prepare('select * from pairing where sync = ?').get(this.#sync)
    return {
      cursors: { left: textOrNull(row?.left_cursor), right: textOrNull(row?.right_cursor) },
      layouts: row === undefined ? [] : (JSON.parse(String(row.layouts)) as PairState['layouts']),
      runs: Number(row?.runs ?? 0),
      fences: { left: numberOrNull(row?.left_fence), right: numberOrNull(row?.right_fence) },
      claims: Number(row?.claims ?? 0),
    }
  }

  async byKeys(side: SideName, keys: readonly string[]): Promise<readonly StoredPair[]> {
    const column = `${side}_key`
    return chunks(keys).flatMap((part) =>
      this.#prepare(`select * from pair where pairing = ? and ${column} in (${marks(part.length)})`)
        .all(this.#pairing, ...part)
        .map(toPair),
    )
  }

  async byIds(ids: readonly number[]): Promise<readonly StoredPair[]> {
    return chunks(ids).flatMap((part) =>
      this.#prepare(`select * from pair where pairing = ? and id in (${marks(part.length)})`)
        .all(this.#pairing, ...part)
        .map(toPair),
    )
  }

  async after(id: number, limit: number): Promise<readonly StoredPair[]> {
    return this.#prepare('select * from pair where pairing = ? and id > ? order by id limit ?')
      .all(this.#pairing, id, limit)
      .map(toPair)
  }

  async unpaired(side: SideName, keys: readonly string[]): Promise<readonly Unpaired[]> {
    return chunks(keys).flatMap((part) =>
      this.#prepare(`select * from unpaired where pairing = ? and side = ? and key in (${marks(part.length)})`)
        .all(this.#pairing, side, ...part)
        .map(toUnpaired),
    )
  }

  async waiting(): Promise<{ pairs: readonly Pending[]; unpaired: readonly Unpaired[] }> {
    const pairs = this.#prepare('select pair, state, code, message from pending where pairing = ?')
      .all(this.#pairing)
      .map((row) => ({
        pair: Number(row.pair),
        state: String(row.state) as Pending['state'],
        code: textOrNull(row.code),
        message: textOrNull(row.message),
      }))
    const unpaired = this.#prepare("select * from unpaired where pairing = ? and state not in ('alone', 'parted')")
      .all(this.#pairing)
      .map(toUnpaired)
    return { pairs, unpaired }
  }

  async intents(): Promise<readonly Intent[]> {
    return this.#prepare('select id, side, body from intent where pairing = ? order by id')
      .all(this.#pairing)
      .map((row) => ({ id: String(row.id), side: String(row.side) as SideName, body: String(row.body) }))
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** 0: the sync has no pairs yet. */
  get #pairing(): number {
    return Number(this.#prepare('select id from pairing where sync = ?').get(this.#sync)?.id ?? 0)
  }

  #prepare(sql: string): StatementSync {
    return prepared(this.#database, sql)
  }
}
