/** Schedules in SQLite. */
import type { DatabaseSync } from 'node:sqlite'
import type { Bound, JobRequest, ScheduleFilter, ScheduleRecord, ScheduleStore } from '../jobs.ts'
import { scheduleOf } from '../rows.ts'
import { enqueue } from './jobs.ts'
import { prepared, transact } from './statements.ts'

export class SqliteScheduleStore implements ScheduleStore {
  readonly #database: DatabaseSync

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  async put(
    { sync, schedule, origin }: Pick<ScheduleRecord, 'sync' | 'schedule' | 'origin'>,
    firstMs: number | null,
  ): Promise<void> {
    const after = schedule.kind === 'after' ? schedule.sync : null
    prepared(this.#database, statements.put).run({
      sync,
      schedule: JSON.stringify(schedule),
      origin,
      after,
      first: firstMs,
    })
  }

  async remove(sync: string): Promise<boolean> {
    return prepared(this.#database, statements.remove).run({ sync }).changes === 1
  }

  async get(sync: string): Promise<ScheduleRecord | null> {
    const row = prepared(this.#database, statements.get).get({ sync })
    return row === undefined ? null : scheduleOf(row)
  }

  async list({ connection, ...filter }: ScheduleFilter): Promise<readonly ScheduleRecord[]> {
    const { after = null, origin = null } = filter
    const rows =
      connection === undefined
        ? prepared(this.#database, statements.list).all({ after, origin })
        : prepared(this.#database, statements.listOf).all({ after, origin, connection })
    return rows.map(scheduleOf)
  }

  async pause(sync: string, paused: boolean, nextMs: number | null): Promise<boolean> {
    return prepared(this.#database, statements.pause).run({ sync, paused: paused ? 1 : 0, next: nextMs }).changes === 1
  }

  async due(nowMs: number, limit: number): Promise<readonly ScheduleRecord[]> {
    return prepared(this.#database, statements.due).all({ now: nowMs, limit }).map(scheduleOf)
  }

  async nextDue(): Promise<number | null> {
    const at = prepared(this.#database, statements.nextDue).get()?.at
    return at === null || at === undefined ? null : Number(at)
  }

  async fire(due: ScheduleRecord, nextMs: number | null, request: JobRequest, nowMs: number): Promise<boolean> {
    return transact(this.#database, () => {
      const move = { sync: due.sync, expected: due.nextAt, next: nextMs }
      if (prepared(this.#database, statements.move).run(move).changes === 0) return false
      enqueue(this.#database, request, nowMs)
      return true
    })
  }

  async note(sync: string, failures: number, { notBeforeMs, notAfterMs }: Bound): Promise<void> {
    const bound = { notBefore: notBeforeMs ?? null, notAfter: notAfterMs ?? null }
    prepared(this.#database, statements.note).run({ sync, failures, ...bound })
  }
}

const chosen = `(:after is null or after_sync = :after) and (:origin is null or origin = :origin)`

const statements = {
  put: `
    insert into schedule (sync, schedule, origin, after_sync, next_at) values (:sync, :schedule, :origin, :after, :first)
    on conflict (sync) do update set
      origin = excluded.origin, after_sync = excluded.after_sync,
      next_at = case when schedule = excluded.schedule then next_at when paused = 1 then null else excluded.next_at end,
      last_at = case when schedule = excluded.schedule then last_at end,
      schedule = excluded.schedule
      where not (origin = 'api' and excluded.origin = 'config')`,
  remove: `delete from schedule where sync = :sync`,
  get: `select * from schedule where sync = :sync`,
  list: `select * from schedule where ${chosen} order by sync`,
  // 0 comes next after the slash: a range of the index.
  listOf: `
    select * from schedule where sync > :connection || '/' and sync < :connection || '0' and ${chosen} order by sync`,
  pause: `update schedule set paused = :paused, next_at = :next where sync = :sync`,
  due: `select * from schedule where next_at <= :now order by next_at limit :limit`,
  nextDue: `select min(next_at) as at from schedule where next_at is not null`,
  move: `
    update schedule set last_at = next_at, next_at = :next where sync = :sync and next_at = :expected and paused = 0`,
  note: `
    update schedule set failures = :failures,
      next_at = min(max(next_at, coalesce(:notBefore, next_at)), coalesce(:notAfter, 9007199254740991))
    where sync = :sync`,
} as const
