/** Conflicts in Postgres. */
import type { ConflictRecord, ConflictStatus, ConflictStore } from '../pairs.ts'
import { conflictOf } from '../rows.ts'
import type { Database } from './database.ts'

export class PostgresConflictStore implements ConflictStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async list(filter: Parameters<ConflictStore['list']>[0]): Promise<readonly ConflictRecord[]> {
    const values = [
      filter.sync ?? null,
      filter.status ?? null,
      filter.kind ?? null,
      filter.limit,
      filter.before ?? null,
    ]
    const found =
      filter.among === undefined
        ? await this.#database.query(statements.list, values)
        : await this.#database.query(statements.listAmong, [...values, filter.among])
    return found.map(conflictOf)
  }

  async get(id: number): Promise<ConflictRecord | null> {
    const [row] = await this.#database.query(statements.get, [id])
    return row === undefined ? null : conflictOf(row)
  }

  async ofPairs(sync: string, pairs: readonly number[]): Promise<readonly ConflictRecord[]> {
    if (pairs.length === 0) return []
    return (await this.#database.query(statements.ofPairs, [sync, pairs])).map(conflictOf)
  }

  async strays(sync: string, fields: readonly string[]): Promise<readonly ConflictRecord[]> {
    return (await this.#database.query(statements.strays, [sync, fields])).map(conflictOf)
  }

  async decide(id: number, fields: ConflictRecord['fields'], status: ConflictStatus): Promise<void> {
    await this.#database.transaction(async (queries) => {
      await queries.execute(statements.decide, [id, JSON.stringify(fields), status])
      // The next run has to look at the pair, though nothing else happened to it.
      if (status === 'decided') await queries.execute(statements.again, [id])
    })
  }

  async counts(sync: string): Promise<{ open: number; decided: number }> {
    const [row] = await this.#database.query(statements.counts, [sync])
    return { open: Number(row?.open), decided: Number(row?.decided) }
  }
}

const filtered = `
    select * from conflict where ($1::text is null or sync = $1 or starts_with(sync, $1 || '/'))
      and ($2::text[] is null or status = any ($2)) and ($3::text is null or kind = $3)
      and ($5::bigint is null or id < $5)`

const statements = {
  list: `${filtered} order by id desc limit $4`,
  // By the index of syncs, not from the newest on: other syncs may have any number.
  listAmong: `${filtered} and sync = any ($6::text[]) order by id + 0 desc limit $4`,
  get: `select * from conflict where id = $1`,
  ofPairs: `
    select * from conflict
    where sync = $1 and pair = any ($2::bigint[]) and status in ('open', 'decided') and kind <> 'undo' order by id`,
  strays: `
    select * from conflict where sync = $1 and kind = 'fields' and status in ('open', 'decided')
      and exists (select 1 from json_each(fields::json) as field
        where field.key <> all ($2::text[]) and field.value ->> 'status' in ('open', 'decided'))
    order by id`,
  decide: `update conflict set fields = $2, status = $3 where id = $1`,
  again: `
    insert into pending (pairing, pair, state) select pairing.id, conflict.pair, 'again' from conflict
      join pairing on pairing.sync = conflict.sync where conflict.id = $1 and conflict.pair is not null on conflict do nothing`,
  counts: `
    select count(*) filter (where status = 'open') as open, count(*) filter (where status = 'decided') as decided
    from conflict where sync = $1 and status in ('open', 'decided')`,
} as const
