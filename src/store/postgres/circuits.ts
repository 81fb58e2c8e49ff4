/** Circuits in Postgres: a row per connection that failed last. */
import type { Circuit, CircuitState, CircuitStore } from '../circuits.ts'
import type { Queries } from './database.ts'

/** What nobody has tried for so long is a connection that is gone. */
const FORGOTTEN_MS = 30 * 86_400_000

export class PostgresCircuitStore implements CircuitStore {
  readonly #queries: Queries

  constructor(queries: Queries) {
    this.#queries = queries
  }

  async list(): Promise<readonly Circuit[]> {
    const rows = await this.#queries.query(statements.list)
    return rows.map(({ connection, failures, open_until: openUntil }) => ({
      connection: String(connection),
      failures: Number(failures),
      openUntil: Number(openUntil),
    }))
  }

  async replace(connection: string, seen: CircuitState | null, next: CircuitState | null): Promise<boolean> {
    return (await this.#written(connection, seen, next)) === 1
  }

  async #written(connection: string, seen: CircuitState | null, next: CircuitState | null): Promise<number> {
    const values = (state: CircuitState) => [connection, state.failures, state.openUntil]
    if (seen !== null && next !== null)
      return await this.#queries.execute(statements.change, [...values(seen), next.failures, next.openUntil])
    if (seen !== null) return await this.#queries.execute(statements.remove, values(seen))
    if (next !== null) return await this.#queries.execute(statements.create, [...values(next), FORGOTTEN_MS])
    return (await this.#queries.query(statements.get, [connection])).length === 0 ? 1 : 0
  }
}

const statements = {
  list: `select connection, failures, open_until from circuit`,
  get: `select 1 from circuit where connection = $1`,
  create: `
    with forgotten as (delete from circuit where open_until < $3::bigint - $4::bigint and connection <> $1)
    insert into circuit (connection, failures, open_until) values ($1, $2, $3) on conflict do nothing`,
  change: `
    update circuit set failures = $4, open_until = $5 where connection = $1 and failures = $2 and open_until = $3`,
  remove: `delete from circuit where connection = $1 and failures = $2 and open_until = $3`,
} as const
