/** Leases in SQLite: one row per sync, and a generation that only grows. */
import type { DatabaseSync } from 'node:sqlite'
import { LONGEST_LEASE_MS } from '../believable.ts'
import { leaseTaken } from '../refusals.ts'
import type { LeaseStore } from '../store.ts'
import { prepared } from './statements.ts'

export class SqliteLeaseStore implements LeaseStore {
  readonly #database: DatabaseSync

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  async take(sync: string, holder: string, nowMs: number, forMs: number): Promise<number> {
    const row = prepared(this.#database, statements.take).get({ sync, holder, now: nowMs, until: nowMs + forMs })
    if (row !== undefined) return Number(row.generation)
    throw leaseTaken(sync)
  }

  async renew(sync: string, generation: number, nowMs: number, forMs: number): Promise<boolean> {
    return prepared(this.#database, statements.renew).run({ sync, generation, until: nowMs + forMs }).changes === 1
  }

  async free(sync: string, generation: number): Promise<void> {
    prepared(this.#database, statements.free).run({ sync, generation })
  }
}

const statements = {
  take: `
    insert into lease (sync, generation, holder, expires_at) values (:sync, 1, :holder, :until)
    on conflict (sync) do update set generation = generation + 1, holder = excluded.holder, expires_at = excluded.expires_at
      where lease.holder is null or lease.holder = excluded.holder or lease.expires_at <= :now
        or lease.expires_at > :now + ${LONGEST_LEASE_MS}
    returning generation`,
  renew: `update lease set expires_at = :until where sync = :sync and generation = :generation and holder is not null`,
  free: `update lease set holder = null where sync = :sync and generation = :generation`,
} as const
