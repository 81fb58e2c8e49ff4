/** The journal of two-way writes in SQLite. */
import type { DatabaseSync } from 'node:sqlite'
import type { SideName } from '../../core/two-way.ts'
import type { JournalEntry, JournalStore } from '../pairs.ts'
import { journalEntryOf } from '../rows.ts'
import { prepared } from './statements.ts'

export class SqliteJournalStore implements JournalStore {
  readonly #database: DatabaseSync

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  async ofRow(sync: string, side: SideName, key: string, limit: number): Promise<readonly JournalEntry[]> {
    return prepared(
      this.#database,
      `select * from journal where sync = ? and ${side}_key = ? order by seq desc limit ?`,
    )
      .all(sync, key, limit)
      .map(journalEntryOf)
  }

  async ofRun(run: string): Promise<readonly JournalEntry[]> {
    return prepared(this.#database, 'select * from journal where run = ? order by seq desc')
      .all(run)
      .map(journalEntryOf)
  }

  async prune(sync: string, beforeMs: number): Promise<number> {
    const oldest = prepared(this.#database, 'select at from journal where sync = ? order by seq limit 1').get(sync)
    if (oldest === undefined || Number(oldest.at) >= beforeMs) return 0
    return Number(prepared(this.#database, 'delete from journal where sync = ? and at < ?').run(sync, beforeMs).changes)
  }
}
