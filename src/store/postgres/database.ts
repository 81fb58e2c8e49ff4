/** A Postgres server that holds a store: a small pool, transactions that are tried again, and its errors in our words. */
import pg from 'pg'
import { SyncError } from '../../core/error.ts'
import type { StoredRow } from '../rows.ts'

/**
 * Ends a session whose process froze in the middle of a transaction: its locks would keep others from taking over. Well below the
 * time that a lease lasts, and well above what a busy process needs for its next statement.
 */
const IDLE_IN_TRANSACTION_MS = 10_000
const CONNECT_MS = 10_000
const POOL_SIZE = 4
/** Pairs are worked on in sessions of their own, one per two-way run. They are opened as they are needed. */
const MOST_SESSIONS = 100
const MAX_ATTEMPTS = 10
const MOST_NAMES = 200

/** Where statements go: the pool, a transaction, or a session. */
export interface Queries {
  query(sql: string, values?: readonly unknown[]): Promise<readonly StoredRow[]>
  /** How many rows the statement wrote. */
  execute(sql: string, values?: readonly unknown[]): Promise<number>
}

export interface DatabaseOptions {
  readonly url: string
  readonly schema: string
  readonly readOnly: boolean
}

export class Database implements Queries, AsyncDisposable {
  readonly place: string
  readonly #pool: pg.Pool
  readonly #sessions: pg.Pool
  readonly #names = new Map<string, string>()

  constructor({ url, schema, readOnly }: DatabaseOptions) {
    this.place = placeOf(url)
    const config: pg.PoolConfig = {
      connectionString: url,
      connectionTimeoutMillis: CONNECT_MS,
      keepAlive: true,
      application_name: 'syncline',
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
      // A process that has nothing else to do may end, whatever connections are idle.
      allowExitOnIdle: true,
      types: { getTypeParser },
      onConnect: async (client: pg.ClientBase) => {
        await client.query(
          `set search_path to "${schema}"; set default_transaction_read_only to ${readOnly ? 'on' : 'off'}`,
        )
      },
    }
    this.#pool = new pg.Pool({ ...config, max: POOL_SIZE })
    this.#sessions = new pg.Pool({ ...config, max: MOST_SESSIONS })
    // A connection that is lost while it is idle is opened anew when it is needed.
    for (const pool of [this.#pool, this.#sessions]) pool.on('error', () => {})
  }

  async query(sql: string, values: readonly unknown[] = []): Promise<readonly StoredRow[]> {
    return await this.#again(async () => (await this.#pool.query(this.#statement(sql, values))).rows)
  }

  async execute(sql: string, values: readonly unknown[] = []): Promise<number> {
    return await this.#again(async () => (await this.#pool.query(this.#statement(sql, values))).rowCount ?? 0)
  }

  /** A text of somebody else, with its errors as they are; several statements where there are no values. */
  async plain(text: string, values?: readonly unknown[]): Promise<pg.QueryResult> {
    return await this.#pool.query(text, values === undefined ? undefined : [...values])
  }

  /** What such an error is in our words. */
  told(error: unknown): unknown {
    return translate(error, this.place)
  }

  /** A statement of its own has a name, by which the server knows its plan: planning costs more than most of them do. */
  #statement(text: string, values: readonly unknown[]): pg.QueryConfig {
    if (!this.#names.has(text) && this.#names.size < MOST_NAMES) this.#names.set(text, `syncline_${this.#names.size}`)
    const name = this.#names.get(text)
    return { text, values: [...values], ...(name === undefined ? {} : { name }) }
  }

  /** Runs `work` in a transaction. It is run again when others were in the way: so it may do nothing but queries. */
  async transaction<Result>(work: (queries: Queries) => Promise<Result>): Promise<Result> {
    return await this.#again(() => inTransaction(this.#pool, work))
  }

  /** A connection of one's own until it is disposed. */
  async session(): Promise<Session> {
    return await this.#again(async () => new Session(await this.#sessions.connect(), (error) => this.told(error)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#pool, this.#sessions].map((pool) => (pool.ended ? undefined : pool.end())))
  }

  async #again<Result>(work: () => Promise<Result>): Promise<Result> {
    return await again(work, (error) => this.told(error))
  }
}

/** One connection. Statements run one after another, and none comes between those of a transaction. */
export class Session implements Queries, AsyncDisposable {
  readonly #client: pg.PoolClient
  readonly #told: (error: unknown) => unknown
  #free: Promise<unknown> = Promise.resolve()
  #lost: Error | null = null
  #open = true

  constructor(client: pg.PoolClient, told: (error: unknown) => unknown) {
    this.#client = client
    this.#told = told
    client.on('error', this.#lose)
  }

  async query(sql: string, values: readonly unknown[] = []): Promise<readonly StoredRow[]> {
    return await this.#alone(async () => (await this.#client.query(sql, [...values])).rows)
  }

  async execute(sql: string, values: readonly unknown[] = []): Promise<number> {
    return await this.#alone(async () => (await this.#client.query(sql, [...values])).rowCount ?? 0)
  }

  async transaction<Result>(work: (queries: Queries) => Promise<Result>): Promise<Result> {
    return await this.#alone(() => transact(this.#client, 'begin', work))
  }

  /** The same where nothing may be written otherwise: for temporary tables. */
  async temporary(sql: string): Promise<void> {
    await this.#alone(() => transact(this.#client, 'begin read write', (queries) => queries.execute(sql)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return
    this.#open = false
    await this.#free
    this.#client.off('error', this.#lose)
    this.#client.release(this.#lost ?? undefined)
  }

  readonly #lose = (error: Error): void => {
    this.#lost = error
  }

  #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#free.then(() => again(work, this.#told))
    this.#free = done.catch(() => {})
    return done
  }
}

async function inTransaction<Result>(pool: pg.Pool, work: (queries: Queries) => Promise<Result>): Promise<Result> {
  const client = await pool.connect()
  let lost: Error | undefined
  const lose = (error: Error) => {
    lost = error
  }
  client.on('error', lose)
  try {
    return await transact(client, 'begin', work)
  } finally {
    client.off('error', lose)
    client.release(lost)
  }
}

async function transact<Result>(
  client: pg.ClientBase,
  begin: string,
  work: (queries: Queries) => Promise<Result>,
): Promise<Result> {
  await client.query(begin)
  try {
    const result = await work({
      query: async (sql, values = []) => (await client.query(sql, [...values])).rows,
      execute: async (sql, values = []) => (await client.query(sql, [...values])).rowCount ?? 0,
    })
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  }
}

/** Where transactions stood in each other's way, trying again is all there is to do. */
async function again<Result>(work: () => Promise<Result>, told: (error: unknown) => unknown): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt === MAX_ATTEMPTS || !inTheWay(error)) throw told(error)
    }
  }
}

/**
 * Serialization failure and deadlock; a second running job of a sync, which the next look does not see any more; and a plan from before
 * another process changed the tables: it goes with its connection.
 */
function inTheWay(error: unknown): boolean {
  const code = codeOf(error)
  if (code === '0A000') return error instanceof Error && error.message.startsWith('cached plan')
  return code === '40001' || code === '40P01' || (code === '23505' && constraintOf(error) === 'job_running')
}

/** The server's code of an error, or the system's; "": it has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

function constraintOf(error: unknown): string {
  return error instanceof pg.DatabaseError ? (error.constraint ?? '') : ''
}

/** Instants and counts are bigint columns, all of them safe numbers. */
const BIGINT = 20

function getTypeParser(type: number, format?: 'text' | 'binary'): (value: string) => unknown {
  return type === BIGINT ? Number : pg.types.getTypeParser(type, format ?? 'text')
}

/** Host, port and database for messages: never user or password. */
function placeOf(url: string): string {
  if (!URL.canParse(url)) return 'the Postgres store'
  const { hostname, port, pathname } = new URL(url)
  return `${hostname || 'localhost'}:${port || '5432'}${pathname}`
}

const unanswered = ['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN', '57P03', '53300']
const lost = ['ECONNRESET', 'EPIPE', 'ETIMEDOUT', '25P03']

function translate(error: unknown, place: string): unknown {
  if (error instanceof SyncError || !(error instanceof Error)) return error
  const code = codeOf(error)
  const make = (kind: ConstructorParameters<typeof SyncError>[0], told: string, hint: string) =>
    new SyncError(kind, `${told}: ${error.message || code}`, { hint, cause: error })
  if (unanswered.includes(code) || /timeout exceeded|timeout expired/.test(error.message))
    return make(
      'CONNECTION_REFUSED',
      `no Postgres store answers at ${place}`,
      'Is the server running, and is SYNCLINE_STORE right?',
    )
  if (code.startsWith('28'))
    return make(
      'AUTH_FAILED',
      `the Postgres store at ${place} refused the login`,
      'Check user and password in SYNCLINE_STORE.',
    )
  if (code === '3D000')
    return make('DATABASE_UNKNOWN', `the Postgres store at ${place}`, 'Check the database name in SYNCLINE_STORE.')
  if (code === '42501')
    return make(
      'GRANT_MISSING',
      `the Postgres store at ${place}`,
      'Its role has to own its schema, or be allowed to create one (GRANT CREATE ON DATABASE).',
    )
  if (code === '53100') return make('DISK_FULL', `the Postgres store at ${place}`, 'Free some space on the server.')
  if (code.startsWith('40'))
    return make(
      'DATABASE_LOCKED',
      `the Postgres store at ${place}`,
      'Others were in the way again and again; try again.',
    )
  if (
    code.startsWith('08') ||
    code.startsWith('57P') ||
    lost.includes(code) ||
    /terminated|not queryable|Connection ended/i.test(error.message)
  )
    return make(
      'CONNECTION_LOST',
      `the connection to the Postgres store at ${place} was lost`,
      'What was not committed is done again when the server is back.',
    )
  return error
}
