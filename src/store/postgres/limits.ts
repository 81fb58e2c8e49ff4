/** Turns in Postgres: one call of a function each, under a lock on the connection's row, by the server's clock. */
import { randomUUID } from 'node:crypto'
import type { Calls, LimitStore, SharedLimits, SharedState, TurnAnswer } from '../limits.ts'
import type { Queries } from './database.ts'

/** A turn whose process says nothing for so long is free again. */
const LEASE_MS = 30_000
/** How long to wait for who is busy: nobody says when a call ends. */
const BUSY_MS = 50
/** What a process told counts for so long: one that was killed is soon forgotten. */
const TOLD_MS = 5000

export class PostgresLimitStore implements LimitStore, Disposable {
  readonly #queries: Queries
  readonly #leaseMs: number
  readonly #held = new Set<string>()
  readonly #process = randomUUID()
  #beat: NodeJS.Timeout | null = null

  constructor(queries: Queries, leaseMs = LEASE_MS) {
    this.#queries = queries
    this.#leaseMs = leaseMs
  }

  async take(connection: string, turn: string, limits: SharedLimits): Promise<TurnAnswer> {
    const { perSecond = null, perMinute = null, concurrent = null } = limits
    const [row] = await this.#queries.query(statements.take, [
      ...[connection, turn, perSecond, perMinute, concurrent, this.#leaseMs],
    ])
    if (row?.state === 'taken') {
      if (concurrent !== null) this.#hold(turn)
      return { kind: 'taken' }
    }
    const ms = row?.state === 'busy' ? BUSY_MS : Math.max(1, Number(row?.wait_ms))
    return { kind: 'wait', ms, paused: row?.state === 'paused' }
  }

  async free(turn: string): Promise<void> {
    if (!this.#held.delete(turn)) return
    if (this.#held.size === 0) this[Symbol.dispose]()
    await this.#queries.execute(statements.free, [turn])
  }

  async pause(connection: string, ms: number): Promise<void> {
    await this.#queries.execute(statements.pause, [connection, ms])
  }

  async exchange(calls: readonly Calls[], connections: readonly string[]): Promise<readonly SharedState[]> {
    const rows = await this.#queries.query(statements.exchange, [
      ...[this.#process, JSON.stringify(calls), TOLD_MS, connections],
    ])
    return rows.map(({ connection, active, waiting, paused_ms: pausedMs }) => ({
      connection: String(connection),
      active: Number(active),
      waiting: Number(waiting),
      pausedMs: pausedMs === null ? null : Number(pausedMs),
    }))
  }

  [Symbol.dispose](): void {
    if (this.#beat !== null) clearInterval(this.#beat)
    this.#beat = null
  }

  #hold(turn: string): void {
    this.#held.add(turn)
    this.#beat ??= setInterval(() => this.#renew(), this.#leaseMs / 3).unref()
  }

  /** One that fails is made up for by the next, before the lease is over. */
  #renew(): void {
    this.#queries.execute(statements.renew, [[...this.#held], this.#leaseMs]).catch(() => {})
  }
}

const statements = {
  take: `select state, wait_ms from take_turn($1, $2, $3, $4, $5, $6)`,
  free: `delete from limit_turn where id = $1`,
  renew: `update limit_turn set expires_at = clock_timestamp() + $2 * interval '1 ms' where id = any ($1)`,
  pause: `
    insert into limit_line (connection, paused_until) values ($1, clock_timestamp() + $2 * interval '1 ms')
    on conflict (connection) do update set paused_until = greatest(limit_line.paused_until, excluded.paused_until)`,
  // Rows that others work on are passed over: whoever comes next sweeps what has expired.
  exchange: `
    with told as (
      insert into limit_process (id, calls, expires_at)
      select $1, $2::jsonb, clock_timestamp() + $3 * interval '1 ms' where $2::jsonb <> '[]'
      on conflict (id) do update set calls = excluded.calls, expires_at = excluded.expires_at
    ), swept as (
      delete from limit_process where id in (
        select id from limit_process
        where case when id = $1 then $2::jsonb = '[]' else expires_at <= clock_timestamp() end for update skip locked)
    ), call as (
      select made.* from (
        select calls from limit_process where id <> $1 and expires_at > clock_timestamp() union all select $2::jsonb
      ) known, jsonb_to_recordset(known.calls) as made (connection text, active integer, waiting integer)
    )
    select asked.connection,
      (select coalesce(sum(active), 0) from call where call.connection = asked.connection) as active,
      (select coalesce(sum(waiting), 0) from call where call.connection = asked.connection) as waiting,
      (select ceil(extract(epoch from paused_until - clock_timestamp()) * 1000) from limit_line line
        where line.connection = asked.connection and paused_until > clock_timestamp()) as paused_ms
    from unnest($4::text[]) with ordinality as asked (connection, place) order by asked.place`,
} as const
