/** The history of runs in SQLite. */
import type { DatabaseSync } from 'node:sqlite'
import type { RunRecord } from '../../core/run.ts'
import { overtakes, releasable } from '../refusals.ts'
import { runOf } from '../rows.ts'
import type { RunFilter, RunStore } from '../store.ts'
import { prepared } from './statements.ts'

/** How many runs of each sync are kept: all, and those that found nothing to do (`watch` makes one every two seconds). */
export const KEPT_RUNS = 1000
export const KEPT_IDLE_RUNS = 100

export interface RunHolders {
  /** The token that this store's runs are stored under. */
  readonly own: string
  /** The token of the process that holds the project lock; null: none does. */
  current(): string | null
}

export class SqliteRunStore implements RunStore {
  readonly #database: DatabaseSync
  readonly #holders: RunHolders

  constructor(database: DatabaseSync, holders: RunHolders) {
    this.#database = database
    this.#holders = holders
  }

  async start(run: Pick<RunRecord, 'id' | 'sync' | 'startedAt'>): Promise<void> {
    prepared(this.#database, statements.start).run(run.id, run.sync, run.startedAt, this.#holders.own)
    prepared(this.#database, statements.prune).run({ sync: run.sync, kept: KEPT_RUNS })
    prepared(this.#database, statements.pruneIdle).run({ sync: run.sync, kept: KEPT_IDLE_RUNS })
  }

  async finish(run: RunRecord): Promise<void> {
    prepared(this.#database, statements.finish).run({
      id: run.id,
      status: run.status,
      duration_ms: run.durationMs === null ? null : Math.round(run.durationMs),
      read: run.read,
      inserted: run.inserted,
      updated: run.updated,
      deleted: run.deleted,
      unchanged: run.unchanged,
      rejected: run.rejected,
      lossy: run.lossy,
      conflicts: run.conflicts,
      error_code: run.error?.code ?? null,
      error_message: run.error?.message ?? null,
      error_hint: run.error?.hint ?? null,
      held_deletes: run.heldDeletes,
    })
  }

  async list({ sync, among, status, latest, before, limit }: RunFilter): Promise<readonly RunRecord[]> {
    const { own, current } = this.#holders
    const found = latest === true ? statements.listLatest : among === undefined ? statements.list : statements.listAmong
    const rows = prepared(this.#database, found).all({
      ...(among === undefined ? {} : { among: JSON.stringify(among) }),
      own,
      current: current() ?? own,
      sync: sync ?? null,
      status: status ?? null,
      before: before ?? null,
      limit,
    })
    return rows.map(runOf)
  }

  async get(id: string): Promise<RunRecord | null> {
    const { own, current } = this.#holders
    const row = prepared(this.#database, statements.get).get({ own, current: current() ?? own, id })
    return row === undefined ? null : runOf(row)
  }

  async release(id: string, atMs: number): Promise<RunRecord> {
    const overtaking = prepared(this.#database, statements.overtaking).get({ id })
    const run = releasable(
      id,
      await this.get(id),
      overtaking === undefined ? null : await this.get(String(overtaking.id)),
    )
    prepared(this.#database, statements.release).run({ id, at: atMs })
    return { ...run, releasedAt: atMs }
  }

  async released(sync: string): Promise<number | null> {
    const row = prepared(this.#database, statements.released).get({ sync })
    return row === undefined ? null : Number(row.held_deletes)
  }
}

/** What a process left running can't finish any more. To be called by the holder of the project lock. */
export function interruptOthers(database: DatabaseSync, own: string): void {
  prepared(database, statements.interruptOthers).run(own)
  // Nobody else runs anything in this project now: what others held is free at once.
  prepared(database, statements.freeAll).run()
}

// A run is alive when this store runs it, or the holder of the lock does.
const run = `
  select seq, id, sync, case when status = 'running' and holder not in (:own, :current) then 'interrupted' else status end as status,
    started_at, duration_ms, read, inserted, updated, deleted, unchanged, rejected, lossy, conflicts,
    error_code, error_message, error_hint, held_deletes, released_at
  from run`

// Not LIKE, to which the _ of a name means any letter.
const ofSync = `(:sync is null or sync = :sync or substr(sync, 1, length(:sync) + 1) = :sync || '/')`
const older = `(:before is null or seq < (select seq from run where id = :before))`
const idle = `sync = :sync and status = 'succeeded' and inserted + updated + deleted = 0`

const statements = {
  start: `insert into run (id, sync, status, started_at, holder) values (?, ?, 'running', ?, ?)`,
  prune: `delete from run where sync = :sync and seq <= (select seq from run where sync = :sync order by seq desc limit 1 offset :kept)`,
  pruneIdle: `
    delete from run where ${idle} and seq <= (select seq from run where ${idle} order by seq desc limit 1 offset :kept)`,
  finish: `
    update run set status = :status, duration_ms = :duration_ms, read = :read, inserted = :inserted, updated = :updated,
      deleted = :deleted, unchanged = :unchanged, rejected = :rejected, lossy = :lossy, conflicts = :conflicts,
      error_code = :error_code, error_message = :error_message, error_hint = :error_hint, held_deletes = :held_deletes
    where id = :id`,
  get: `${run} where id = :id`,
  list: `
    select * from (${run}) where ${ofSync} and (:status is null or status = :status) and ${older}
    order by seq desc limit :limit`,
  // By the index of syncs, not from the newest on: other syncs may have any number.
  listAmong: `
    select * from (${run}) where sync in (select value from json_each(:among)) and ${ofSync}
      and (:status is null or status = :status) and ${older} order by +seq desc limit :limit`,
  listLatest: `
    select *, max(seq) from (${run}) where ${ofSync} and (:status is null or status = :status) and ${older}
    group by sync order by seq desc limit :limit`,
  overtaking: `
    select later.id from run as later join run as held on held.sync = later.sync and held.seq < later.seq
    where held.id = :id and ${overtakes} order by later.seq desc limit 1`,
  release: `update run set released_at = :at, released_seq = (select max(seq) from run) where id = :id`,
  released: `
    select held_deletes from run as held
    where sync = :sync and status = 'held' and released_at is not null and held_deletes is not null
      and not exists (
        select 1 from run as later
        where later.sync = held.sync and later.seq > held.released_seq
          and (later.status in ('succeeded', 'held') or (later.status <> 'running' and later.deleted > 0))
      )
    order by seq desc limit 1`,
  freeAll: `update lease set holder = null where holder is not null`,
  interruptOthers: `update run set status = 'interrupted' where status = 'running' and holder <> ?`,
} as const
