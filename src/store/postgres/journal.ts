/** The journal of two-way writes in Postgres. */
import type { SideName } from '../../core/two-way.ts'
import type { JournalEntry, JournalStore } from '../pairs.ts'
import { journalEntryOf } from '../rows.ts'
import type { Queries } from './database.ts'

export class PostgresJournalStore implements JournalStore {
  readonly #queries: Queries

  constructor(queries: Queries) {
    this.#queries = queries
  }

  async ofRow(sync: string, side: SideName, key: string, limit: number): Promise<readonly JournalEntry[]> {
    const sql = `select * from journal where sync = $1 and ${side}_key = $2 order by seq desc limit $3`
    return (await this.#queries.query(sql, [sync, key, limit])).map(journalEntryOf)
  }

  async ofRun(run: string): Promise<readonly JournalEntry[]> {
    return (await this.#queries.query('select * from journal where run = $1 order by seq desc', [run])).map(
      journalEntryOf,
    )
  }

  async prune(sync: string, beforeMs: number): Promise<number> {
    const [oldest] = await this.#queries.query('select at from journal where sync = $1 order by seq limit 1', [sync])
    if (oldest === undefined || Number(oldest.at) >= beforeMs) return 0
    return await this.#queries.execute('delete from journal where sync = $1 and at < $2', [sync, beforeMs])
  }
}
