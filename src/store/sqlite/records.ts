/** Records in SQLite. */
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import type { NewRecord, RecordStore, StoredRecord } from '../records.ts'
import { recordOf } from '../rows.ts'
import { prepared } from './statements.ts'

export class SqliteRecordStore implements RecordStore {
  readonly #database: DatabaseSync

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  async put({ kind, id, body, expiresAt }: NewRecord, expected?: number): Promise<number | null> {
    const record = { kind, id, body, expires_at: expiresAt }
    if (expected === undefined) return versionOf(prepared(this.#database, statements.put).get(record))
    if (expected === 0) return versionOf(prepared(this.#database, statements.create).get(record))
    return versionOf(prepared(this.#database, statements.change).get({ ...record, expected }))
  }

  async get(kind: string, id: string): Promise<StoredRecord | null> {
    const row = prepared(this.#database, statements.get).get({ kind, id })
    return row === undefined ? null : recordOf(row)
  }

  async list(
    kind: string,
    page: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredRecord[]> {
    return prepared(this.#database, statements.list)
      .all({ kind, after: page.after ?? '', limit: page.limit })
      .map(recordOf)
  }

  async delete(kind: string, id: string): Promise<boolean> {
    return prepared(this.#database, statements.delete).run({ kind, id }).changes === 1
  }

  async sweep(nowMs: number): Promise<number> {
    return Number(prepared(this.#database, statements.sweep).run({ now: nowMs }).changes)
  }
}

const statements = {
  put: `
    insert into record (kind, id, body, expires_at, version) values (:kind, :id, :body, :expires_at, 1)
    on conflict (kind, id) do update set body = excluded.body, expires_at = excluded.expires_at, version = version + 1
    returning version`,
  create: `
    insert into record (kind, id, body, expires_at, version) values (:kind, :id, :body, :expires_at, 1)
    on conflict (kind, id) do nothing returning version`,
  change: `
    update record set body = :body, expires_at = :expires_at, version = version + 1
    where kind = :kind and id = :id and version = :expected returning version`,
  get: `select * from record where kind = :kind and id = :id`,
  list: `select * from record where kind = :kind and id > :after order by id limit :limit`,
  delete: `delete from record where kind = :kind and id = :id`,
  sweep: `delete from record where expires_at <= :now`,
} as const

function versionOf(stored: Record<string, SQLOutputValue> | undefined): number | null {
  return stored === undefined ? null : Number(stored.version)
}
