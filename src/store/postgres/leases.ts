/** Leases in Postgres: one row per sync, and a generation that only grows. */
import { LONGEST_LEASE_MS } from '../believable.ts'
import { leaseLost, leaseTaken } from '../refusals.ts'
import type { LeaseStore } from '../store.ts'
import type { Queries } from './database.ts'

export class PostgresLeaseStore implements LeaseStore {
  readonly #queries: Queries

  constructor(queries: Queries) {
    this.#queries = queries
  }

  async take(sync: string, holder: string, nowMs: number, forMs: number): Promise<number> {
    const [row] = await this.#queries.query(statements.take, [sync, holder, nowMs, nowMs + forMs])
    if (row !== undefined) return Number(row.generation)
    throw leaseTaken(sync)
  }

  async renew(sync: string, generation: number, nowMs: number, forMs: number): Promise<boolean> {
    return (await this.#queries.execute(statements.renew, [sync, generation, nowMs + forMs])) === 1
  }

  async free(sync: string, generation: number): Promise<void> {
    await this.#queries.execute(statements.free, [sync, generation])
  }
}

/**
 * To be called first in a transaction that only the holder of a lease may commit. Until its end nobody takes the lease over; heartbeats
 * pass. LEASE_LOST.
 */
export async function fence(queries: Queries, sync: string, generation: number): Promise<void> {
  if ((await queries.query(statements.fence, [sync, generation])).length === 0) throw leaseLost(sync)
}

/** What ran under a lease that is taken now can't end well any more: nobody else runs the sync from here on. */
export const endRunsOf = (taken: string) =>
  `update run set status = 'interrupted' where status = 'running' and sync in (select sync from ${taken})`

const statements = {
  take: `
    with taken as (
      insert into lease (sync, generation, holder, expires_at) values ($1, 1, $2, $4)
      on conflict (sync) do update
        set generation = lease.generation + 1, holder = excluded.holder, expires_at = excluded.expires_at
        where lease.holder is null or lease.holder = excluded.holder or lease.expires_at <= $3
          or lease.expires_at > $3::bigint + ${LONGEST_LEASE_MS}
      returning sync, generation
    ), ended as (${endRunsOf('taken')})
    select generation from taken`,
  renew: `update lease set expires_at = $3 where sync = $1 and generation = $2 and holder is not null`,
  free: `update lease set holder = null where sync = $1 and generation = $2`,
  fence: `select 1 from lease where sync = $1 and generation = $2 and holder is not null for key share`,
} as const
