/** Records in Postgres. */
import type { NewRecord, RecordStore, StoredRecord } from '../records.ts'
import { recordOf } from '../rows.ts'
import type { Queries } from './database.ts'

export class PostgresRecordStore implements RecordStore {
  readonly #queries: Queries

  constructor(queries: Queries) {
    this.#queries = queries
  }

  async put({ kind, id, body, expiresAt }: NewRecord, expected?: number): Promise<number | null> {
    const values = [kind, id, body, expiresAt]
    const [row] =
      expected === undefined
        ? await this.#queries.query(statements.put, values)
        : expected === 0
          ? await this.#queries.query(statements.create, values)
          : await this.#queries.query(statements.change, [...values, expected])
    return row === undefined ? null : Number(row.version)
  }

  async get(kind: string, id: string): Promise<StoredRecord | null> {
    const [row] = await this.#queries.query(statements.get, [kind, id])
    return row === undefined ? null : recordOf(row)
  }

  async list(
    kind: string,
    page: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredRecord[]> {
    return (await this.#queries.query(statements.list, [kind, page.after ?? '', page.limit])).map(recordOf)
  }

  async delete(kind: string, id: string): Promise<boolean> {
    return (await this.#queries.execute(statements.delete, [kind, id])) === 1
  }

  async sweep(nowMs: number): Promise<number> {
    return await this.#queries.execute(statements.sweep, [nowMs])
  }
}

const statements = {
  put: `
    insert into record (kind, id, body, expires_at, version) values ($1, $2, $3, $4, 1)
    on conflict (kind, id) do update
      set body = excluded.body, expires_at = excluded.expires_at, version = record.version + 1
    returning version`,
  create: `
    insert into record (kind, id, body, expires_at, version) values ($1, $2, $3, $4, 1)
    on conflict (kind, id) do nothing returning version`,
  change: `
    update record set body = $3, expires_at = $4, version = version + 1
    where kind = $1 and id = $2 and version = $5 returning version`,
  get: `select * from record where kind = $1 and id = $2`,
  list: `select * from record where kind = $1 and id > $2 order by id limit $3`,
  delete: `delete from record where kind = $1 and id = $2`,
  sweep: `delete from record where expires_at <= $1`,
} as const
