/** What two-way syncs remember, in Postgres. */
import type { Address } from '../../core/sync.ts'
import type { SideName } from '../../core/two-way.ts'
import {
  anyFence,
  type ConflictStore,
  type JournalStore,
  type Layout,
  type PairReader,
  type PairRun,
  type PairState,
  type PairStore,
  type PairWork,
  placesOf,
} from '../pairs.ts'
import { PostgresConflictStore } from './conflicts.ts'
import type { Database } from './database.ts'
import { PostgresJournalStore } from './journal.ts'
import { PostgresPairReader } from './pair-reader.ts'
import { openPairRun } from './pair-run.ts'
import { openPairWork } from './pair-work.ts'

export class PostgresPairStore implements PairStore {
  readonly conflicts: ConflictStore
  readonly journal: JournalStore
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
    this.conflicts = new PostgresConflictStore(database)
    this.journal = new PostgresJournalStore(database)
  }

  async read(sync: string): Promise<PairReader> {
    return new PostgresPairReader(this.#database, sync)
  }

  async plan(sync: string): Promise<PairWork> {
    return await openPairWork(this.#database, sync)
  }

  async run(sync: string): Promise<PairRun> {
    return await openPairRun(this.#database, sync)
  }

  async places(): Promise<readonly Address[]> {
    const rows = await this.#database.query('select layouts from pairing')
    return placesOf(rows.map(({ layouts }) => String(layouts)))
  }

  async counterparts(sync: string, side: SideName, keys: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const rows = await this.#database.query(
      `select ${side}_key as key, ${side === 'left' ? 'right' : 'left'}_key as other from pair
       where pairing = (select id from pairing where sync = $1) and ${side}_key = any ($2)`,
      [sync, keys],
    )
    return new Map(rows.map((row) => [String(row.key), String(row.other)]))
  }

  async reset(sync: string, { keepPairs } = { keepPairs: false }): Promise<void> {
    if (keepPairs) return await this.#forgetAgreed(sync)
    await this.#database.transaction(async (queries) => {
      const [found] = await queries.query('delete from pairing where sync = $1 returning id', [sync])
      if (found === undefined) return
      const fences = [sync, anyFence, anyFence]
      await queries.execute('insert into pairing (sync, left_fence, right_fence) values ($1, $2, $3)', fences)
      for (const table of ['pair', 'unpaired', 'pending', 'intent'])
        await queries.execute(`delete from ${table} where pairing = $1`, [found.id])
      await queries.execute("delete from conflict where sync = $1 and status in ('open', 'decided')", [sync])
    })
  }

  async #forgetAgreed(sync: string): Promise<void> {
    await this.#database.transaction(async (queries) => {
      const [found] = await queries.query('select id, layouts from pairing where sync = $1 for update', [sync])
      if (found === undefined) return
      // The engine wrote them, and nobody else does.
      const layouts = JSON.parse(String(found.layouts)) as PairState['layouts']
      const incomplete = layouts.map((layout, at) =>
        at === layouts.length - 1 ? { ...withoutOthers(layout), complete: false } : layout,
      )
      await queries.execute('update pair set layout = 0, recent = null where pairing = $1', [found.id])
      await queries.execute(forgetAgreed, [found.id, JSON.stringify(incomplete)])
    })
  }
}

function withoutOthers({ others: _, ...layout }: Layout): Layout {
  return layout
}

const forgetAgreed = `
  update pairing set left_cursor = null, right_cursor = null, left_fence = ${anyFence}, right_fence = ${anyFence}, claims = 0, layouts = $2 where id = $1`
