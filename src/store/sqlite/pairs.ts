/** What two-way syncs remember, in SQLite. */
import type { DatabaseSync } from 'node:sqlite'
import type { Address } from '../../core/sync.ts'
import type { SideName } from '../../core/two-way.ts'
import {
  anyFence,
  type ConflictStore,
  type JournalStore,
  type PairReader,
  type PairRun,
  type PairStore,
  type PairWork,
  placesOf,
} from '../pairs.ts'
import { SqliteConflictStore } from './conflicts.ts'
import { SqliteJournalStore } from './journal.ts'
import { SqlitePairReader } from './pair-reader.ts'
import { SqlitePairRun } from './pair-run.ts'
import { SqlitePairWork } from './pair-work.ts'
import { prepared, transact } from './statements.ts'

export class SqlitePairStore implements PairStore {
  readonly conflicts: ConflictStore
  readonly journal: JournalStore
  readonly #database: DatabaseSync

  constructor(database: DatabaseSync) {
    this.#database = database
    this.conflicts = new SqliteConflictStore(database)
    this.journal = new SqliteJournalStore(database)
  }

  async read(sync: string): Promise<PairReader> {
    return new SqlitePairReader(this.#database, sync)
  }

  async plan(sync: string): Promise<PairWork> {
    return new SqlitePairWork(this.#database, sync)
  }

  async run(sync: string): Promise<PairRun> {
    return new SqlitePairRun(this.#database, sync)
  }

  async places(): Promise<readonly Address[]> {
    return placesOf(
      prepared(this.#database, 'select layouts from pairing')
        .all()
        .map(({ layouts }) => String(layouts)),
    )
  }

  async counterparts(sync: string, side: SideName, keys: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const rows = prepared(
      this.#database,
      `select ${side}_key as key, ${side === 'left' ? 'right' : 'left'}_key as other from pair
         where pairing = (select id from pairing where sync = ?) and ${side}_key in (select value from json_each(?))`,
    ).all(sync, JSON.stringify(keys))
    return new Map(rows.map((row) => [String(row.key), String(row.other)]))
  }

  async reset(sync: string, { keepPairs } = { keepPairs: false }): Promise<void> {
    const found = prepared(this.#database, 'select id from pairing where sync = ?').get(sync)
    if (found === undefined) return
    if (keepPairs) {
      transact(this.#database, () => {
        prepared(this.#database, 'update pair set layout = 0, recent = null where pairing = ?').run(found.id ?? null)
        prepared(this.#database, forgetAgreed).run(found.id ?? null)
      })
      return
    }
    transact(this.#database, () => {
      for (const table of ['pair', 'unpaired', 'pending', 'intent'])
        prepared(this.#database, `delete from ${table} where pairing = ?`).run(found.id ?? null)
      prepared(this.#database, 'delete from pairing where id = ?').run(found.id ?? null)
      prepared(this.#database, 'insert into pairing (sync, left_fence, right_fence) values (?, ?, ?)').run(
        sync,
        anyFence,
        anyFence,
      )
      prepared(this.#database, "delete from conflict where sync = ? and status in ('open', 'decided')").run(sync)
    })
  }
}

const forgetAgreed = `
  update pairing set left_cursor = null, right_cursor = null, left_fence = ${anyFence}, right_fence = ${anyFence}, claims = 0,
    layouts = case layouts when '[]' then layouts else json_remove(json_set(layouts, '$[#-1].complete', json('false')), '$[#-1].others') end
  where id = ?`
