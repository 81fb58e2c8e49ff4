/** The journal of two-way writes in SQLite. */
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import type { SideName } from '../../core/two-way.ts'
import type { JournalEntry, JournalStore } from '../pairs.ts'
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
      .map(toEntry)
  }

  async ofRun(run: string): Promise<readonly JournalEntry[]> {
    return prepared(this.#database, 'select * from journal where run = ? order by seq desc').all(run).map(toEntry)
  }

  async prune(sync: string, beforeMs: number): Promise<number> {
    const oldest = prepared(this.#database, 'select at from journal where sync = ? order by seq limit 1').get(sync)
    if (oldest === undefined || Number(oldest.at) >= beforeMs) return 0
    return Number(prepared(this.#database, 'delete from journal where sync = ? and at < ?').run(sync, beforeMs).changes)
  }
}

function toEntry(row: Record<string, SQLOutputValue>): JournalEntry {
  const text = (value: SQLOutputValue | undefined) => (value === null || value === undefined ? null : String(value))
  return {
    seq: Number(row.seq),
    sync: String(row.sync),
    run: String(row.run),
    atMs: Number(row.at),
    side: String(row.side) as SideName,
    kind: String(row.kind) as JournalEntry['kind'],
    pair: row.pair === null ? null : Number(row.pair),
    left: text(row.left_key),
    right: text(row.right_key),
    fields: row.fields === null ? [] : (JSON.parse(String(row.fields)) as string[]),
    before: text(row.before),
    after: text(row.after),
    reason: String(row.reason),
  }
}
