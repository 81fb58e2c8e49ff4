/** Schedules in Postgres. */
import type { Delivery } from '../delivery.ts'
import type { Bound, JobRequest, ScheduleFilter, ScheduleRecord, ScheduleStore } from '../jobs.ts'
import { scheduleOf } from '../rows.ts'
import type { Queries } from './database.ts'
import { notify } from './hints.ts'
import { queue, queueValues } from './jobs.ts'

export class PostgresScheduleStore implements ScheduleStore {
  readonly #queries: Queries
  readonly #delivery: Pick<Delivery, 'send'>

  constructor(queries: Queries, delivery: Pick<Delivery, 'send'>) {
    this.#queries = queries
    this.#delivery = delivery
  }

  async put(
    { sync, schedule, origin }: Pick<ScheduleRecord, 'sync' | 'schedule' | 'origin'>,
    firstMs: number | null,
  ): Promise<void> {
    const after = schedule.kind === 'after' ? schedule.sync : null
    await this.#queries.execute(statements.put, [sync, JSON.stringify(schedule), origin, after, firstMs])
  }

  async remove(sync: string): Promise<boolean> {
    return (await this.#queries.execute(statements.remove, [sync])) === 1
  }

  async get(sync: string): Promise<ScheduleRecord | null> {
    const [row] = await this.#queries.query(statements.get, [sync])
    return row === undefined ? null : scheduleOf(row)
  }

  async list({ connection, ...filter }: ScheduleFilter): Promise<readonly ScheduleRecord[]> {
    const { after = null, origin = null } = filter
    const rows =
      connection === undefined
        ? await this.#queries.query(statements.list, [after, origin])
        : await this.#queries.query(statements.listOf, [after, origin, connection])
    return rows.map(scheduleOf)
  }

  async pause(sync: string, paused: boolean, nextMs: number | null): Promise<boolean> {
    return (await this.#queries.execute(statements.pause, [sync, paused, nextMs])) === 1
  }

  async due(nowMs: number, limit: number): Promise<readonly ScheduleRecord[]> {
    return (await this.#queries.query(statements.due, [nowMs, limit])).map(scheduleOf)
  }

  async nextDue(): Promise<number | null> {
    const [row] = await this.#queries.query(statements.nextDue)
    return row === undefined || row.at === null ? null : Number(row.at)
  }

  async fire(due: ScheduleRecord, nextMs: number | null, request: JobRequest, nowMs: number): Promise<boolean> {
    const values = [...queueValues(request, nowMs), due.sync, due.nextAt, nextMs]
    const fired = (await this.#queries.query(statements.fire, values)).length === 1
    if (fired) this.#delivery.send()
    return fired
  }

  async note(sync: string, failures: number, { notBeforeMs, notAfterMs }: Bound): Promise<void> {
    await this.#queries.execute(statements.note, [sync, failures, notBeforeMs ?? null, notAfterMs ?? null])
  }
}

const chosen = `($1::text is null or after_sync = $1) and ($2::text is null or origin = $2)`

const statements = {
  put: `
    insert into schedule (sync, schedule, origin, after_sync, next_at) values ($1, $2, $3, $4, $5)
    on conflict (sync) do update set
      origin = excluded.origin, after_sync = excluded.after_sync,
      next_at = case
        when schedule.schedule = excluded.schedule then schedule.next_at
        when schedule.paused then null else excluded.next_at end,
      last_at = case when schedule.schedule = excluded.schedule then schedule.last_at end,
      schedule = excluded.schedule
      where (schedule.schedule, schedule.origin) is distinct from (excluded.schedule, excluded.origin)
        and not (schedule.origin = 'api' and excluded.origin = 'config')
    returning ${notify}`,
  remove: `delete from schedule where sync = $1`,
  get: `select * from schedule where sync = $1`,
  list: `select * from schedule where ${chosen} order by sync`,
  // 0 comes next after the slash: a range of the index.
  listOf: `select * from schedule where sync > $3::text || '/' and sync < $3 || '0' and ${chosen} order by sync`,
  pause: `update schedule set paused = $2, next_at = $3 where sync = $1 returning ${notify}`,
  due: `select * from schedule where next_at <= $1 order by next_at limit $2`,
  nextDue: `select min(next_at) as at from schedule where next_at is not null`,
  fire: `
    with moved as (
      update schedule set last_at = next_at, next_at = $11 where sync = $9 and next_at = $10 and not paused returning 1
    ), ${queue('from moved')}`,
  note: `
    update schedule set failures = $2,
      next_at = case when next_at is not null then least(greatest(next_at, $3::bigint), $4::bigint) end
    where sync = $1`,
} as const
