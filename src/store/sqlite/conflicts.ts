/** Conflicts in SQLite. */
import type { DatabaseSync } from 'node:sqlite'
import type { ConflictRecord, ConflictStatus, ConflictStore } from '../pairs.ts'
import { conflictOf } from '../rows.ts'
import { prepared } from './statements.ts'

export class SqliteConflictStore implements ConflictStore {
  readonly #database: DatabaseSync

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  async list(filter: Parameters<ConflictStore['list']>[0]): Promise<readonly ConflictRecord[]> {
    const { among } = filter
    // By the index of syncs, not from the newest on: other syncs may have any number.
    const ofThese = among === undefined ? '' : 'sync in (select value from json_each(:among)) and'
    return prepared(
      this.#database,
      `select * from conflict where ${ofThese} (:sync is null or sync = :sync or substr(sync, 1, length(:sync) + 1) = :sync || '/')
         and (:status is null or status in (select value from json_each(:status))) and (:kind is null or kind = :kind)
         and (:before is null or id < :before) order by ${among === undefined ? 'id' : '+id'} desc limit :limit`,
    )
      .all({
        ...(among === undefined ? {} : { among: JSON.stringify(among) }),
        sync: filter.sync ?? null,
        status: filter.status === undefined ? null : JSON.stringify(filter.status),
        kind: filter.kind ?? null,
        before: filter.before ?? null,
        limit: filter.limit,
      })
      .map(conflictOf)
  }

  async get(id: number): Promise<ConflictRecord | null> {
    const row = prepared(this.#database, 'select * from conflict where id = ?').get(id)
    return row === undefined ? null : conflictOf(row)
  }

  async ofPairs(sync: string, pairs: readonly number[]): Promise<readonly ConflictRecord[]> {
    if (pairs.length === 0) return []
    return prepared(
      this.#database,
      `select * from conflict where sync = ? and pair in (select value from json_each(?)) and status in ('open', 'decided') and kind <> 'undo'`,
    )
      .all(sync, JSON.stringify(pairs))
      .map(conflictOf)
  }

  async strays(sync: string, fields: readonly string[]): Promise<readonly ConflictRecord[]> {
    return prepared(
      this.#database,
      `select * from conflict where sync = ? and kind = 'fields' and status in ('open', 'decided')
         and exists (select 1 from json_each(conflict.fields) as field where field.key not in (select value from json_each(?))
           and field.value ->> 'status' in ('open', 'decided'))`,
    )
      .all(sync, JSON.stringify(fields))
      .map(conflictOf)
  }

  async decide(id: number, fields: ConflictRecord['fields'], status: ConflictStatus): Promise<void> {
    const database = this.#database
    prepared(database, 'update conflict set fields = ?, status = ? where id = ?').run(
      JSON.stringify(fields),
      status,
      id,
    )
    if (status !== 'decided') return
    // The next run has to look at the pair, though nothing else happened to it.
    prepared(
      database,
      `insert into pending (pairing, pair, state) select pairing.id, conflict.pair, 'again' from conflict
         join pairing on pairing.sync = conflict.sync where conflict.id = ? and conflict.pair is not null on conflict do nothing`,
    ).run(id)
  }

  async counts(sync: string): Promise<{ open: number; decided: number }> {
    const row = prepared(
      this.#database,
      `select count(*) filter (where status = 'open') as open, count(*) filter (where status = 'decided') as decided
         from conflict where sync = ? and status in ('open', 'decided')`,
    ).get(sync)
    return { open: Number(row?.open), decided: Number(row?.decided) }
  }
}
