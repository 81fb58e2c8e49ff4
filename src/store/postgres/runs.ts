/** The history of runs in Postgres. */
import type { RunRecord } from '../../core/run.ts'
import { overtakes, releasable } from '../refusals.ts'
import { runOf } from '../rows.ts'
import type { RunFilter, RunStore } from '../store.ts'
import type { Queries } from './database.ts'

/** How many runs of each sync are kept: all, and those that found nothing to do. */
const KEPT_RUNS = 1000
const KEPT_IDLE_RUNS = 100

export class PostgresRunStore implements RunStore {
  readonly #queries: Queries

  constructor(queries: Queries) {
    this.#queries = queries
  }

  async start(run: Pick<RunRecord, 'id' | 'sync' | 'startedAt'>): Promise<void> {
    await this.#queries.execute(statements.start, [run.id, run.sync, run.startedAt, KEPT_RUNS, KEPT_IDLE_RUNS])
  }

  async finish(run: RunRecord): Promise<void> {
    await this.#queries.execute(statements.finish, [
      ...[run.id, run.status, run.durationMs === null ? null : Math.round(run.durationMs)],
      ...[run.read, run.inserted, run.updated, run.deleted, run.unchanged, run.rejected, run.lossy, run.conflicts],
      ...[run.error?.code ?? null, run.error?.message ?? null, run.error?.hint ?? null, run.heldDeletes],
    ])
  }

  async list({ sync, among, status, latest, before, limit }: RunFilter): Promise<readonly RunRecord[]> {
    const values = [sync ?? null, status ?? null, limit, before ?? null]
    if (among !== undefined) return (await this.#queries.query(statements.listAmong, [...values, among])).map(runOf)
    const statement = latest === true ? statements.listLatest : statements.list
    return (await this.#queries.query(statement, values)).map(runOf)
  }

  async get(id: string): Promise<RunRecord | null> {
    const [row] = await this.#queries.query(statements.get, [id])
    return row === undefined ? null : runOf(row)
  }

  async release(id: string, atMs: number): Promise<RunRecord> {
    const [overtaking] = await this.#queries.query(statements.overtaking, [id])
    const run = releasable(
      id,
      await this.get(id),
      overtaking === undefined ? null : await this.get(String(overtaking.id)),
    )
    await this.#queries.execute(statements.release, [id, atMs])
    return { ...run, releasedAt: atMs }
  }

  async released(sync: string): Promise<number | null> {
    const [row] = await this.#queries.query(statements.released, [sync])
    return row === undefined ? null : Number(row.held_deletes)
  }
}

// A run is alive as long as the lease of its sync: one whose process died shows as interrupted when that has expired.
const run = `
  select seq, id, sync, case when status = 'running' and not exists (
      select 1 from lease where lease.sync = run.sync and holder is not null
        and expires_at > extract(epoch from clock_timestamp()) * 1000
    ) then 'interrupted' else status end as status,
    started_at, duration_ms, read, inserted, updated, deleted, unchanged, rejected, lossy, conflicts,
    error_code, error_message, error_hint, held_deletes, released_at
  from run`

// Not LIKE, to which the _ of a name means any letter.
const ofSync = `($1::text is null or sync = $1 or starts_with(sync, $1 || '/'))`
const filtered = `(${run}) as run where ${ofSync} and ($2::text is null or status = $2)
  and ($4::text is null or seq < (select seq from run where id = $4))`
const idle = `sync = $2 and status = 'succeeded' and inserted + updated + deleted = 0`

const statements = {
  // `finish` finds nothing where somebody took the run's lease over: who lost it writes nothing more.
  start: `
    with pruned as (
      delete from run where sync = $2 and seq <= (select seq from run where sync = $2 order by seq desc limit 1 offset $4)
    ), pruned_idle as (
      delete from run where ${idle} and seq <= (select seq from run where ${idle} order by seq desc limit 1 offset $5)
    )
    insert into run (id, sync, status, started_at) values ($1, $2, 'running', $3)`,
  finish: `
    update run set status = $2, duration_ms = $3, read = $4, inserted = $5, updated = $6, deleted = $7, unchanged = $8,
      rejected = $9, lossy = $10, conflicts = $11, error_code = $12, error_message = $13, error_hint = $14, held_deletes = $15
    where id = $1 and status = 'running'`,
  get: `${run} where id = $1`,
  list: `select * from ${filtered} order by seq desc limit $3`,
  // By the index of syncs, not from the newest on: other syncs may have any number.
  listAmong: `select * from ${filtered} and sync = any ($5::text[]) order by seq + 0 desc limit $3`,
  listLatest: `
    select * from (select distinct on (sync) * from ${filtered} order by sync, seq desc) as latest
    order by seq desc limit $3`,
  overtaking: `
    select later.id from run as later join run as held on held.sync = later.sync and held.seq < later.seq
    where held.id = $1 and ${overtakes} order by later.seq desc limit 1`,
  release: `update run set released_at = $2, released_seq = (select max(seq) from run) where id = $1`,
  released: `
    select held_deletes from run as held
    where sync = $1 and status = 'held' and released_at is not null and held_deletes is not null
      and not exists (
        select 1 from run as later
        where later.sync = held.sync and later.seq > held.released_seq
          and (later.status in ('succeeded', 'held') or (later.status <> 'running' and later.deleted > 0))
      )
    order by seq desc limit 1`,
} as const
