/** Turns in Postgres: one call of a function each, under a lock on the connection's row, by the server's clock. */
import type { LimitStore, SharedLimits, TurnAnswer } from '../limits.ts'
import type { Queries } from './database.ts'

/** A turn whose process says nothing for so long is free again. */
const LEASE_MS = 30_000
/** How long to wait for who is busy: nobody says when a call ends. */
const BUSY_MS = 50

export class PostgresLimitStore implements LimitStore, Disposable {
  readonly #queries: Queries
  readonly #leaseMs: number
  readonly #held = new Set<string>()
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
} as const
