/** Sessions with a Postgres server. Every transaction has our settings, whoever sees to the session behind it. */
import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { SyncError } from '../../core/error.ts'
import type { SqlSession } from '../sql/session.ts'
import type { PostgresConfig } from './config.ts'
import { quoteText } from './copy.ts'
import { CopyIn, CopyOut } from './copy-stream.ts'
import { dialect } from './dialect.ts'
import { translate } from './errors.ts'
import type { Frames } from './frames.ts'
import { limits } from './limits.ts'
import { clientOptions, placeOf } from './options.ts'
import {
  alone,
  localSettings,
  type ServerTraits,
  sessionSetting,
  traitsOf,
  traitsQuery,
  transactions,
} from './settings.ts'
import { StoppableStatements } from './stop.ts'

/**
 * One session. Statements run one after another. Outside of a transaction each is one of its own, which only reads: between
 * transactions nothing is kept, because a pooler may give the next one another session of the server.
 */
export interface Client extends SqlSession, AsyncDisposable {
  readonly traits: ServerTraits
  /** Rows as arrays of text (every value in Postgres' own spelling) for the statement's last result. */
  query(sql: string, values?: readonly SqlValue[]): Promise<TextRow[]>
  /** How many rows the statement wrote. */
  execute(sql: string, values?: readonly SqlValue[]): Promise<number>
  /** Begins a transaction and runs `first` in it, in one message; returns the rows of the latter's last statement. */
  begin(purpose: keyof typeof transactions, first?: string): Promise<TextRow[]>
  /** Runs `last` and commits, in one message. */
  commit(last?: string): Promise<void>
  /** Never fails: a transaction that can't be rolled back is gone with its session. */
  rollback(): Promise<void>
  /** The rows of COPY … TO STDOUT. A failure leaves an open transaction as it was before. */
  copyOut(sql: string): AsyncIterable<Frames>
  /** Begins COPY … FROM STDIN; the session does nothing else until it has ended. */
  copyIn(sql: string): Inflow
}

/** Values for `$1`, `$2`; lists only in a transaction. */
export type SqlValue = string | number | boolean | null | readonly (string | null)[]

/** A COPY … FROM STDIN under way. */
export type Inflow = Pick<CopyIn, 'write' | 'end' | 'abandon'>

export type TextRow = readonly (string | null)[]

/** How long a server may take to end a session. */
const HANG_UP_MS = 1000

/** Values arrive as the text Postgres sent. */
const textTypes = { getTypeParser: () => (value: string) => value }

/** Opens a session. The error names host and port, never the password. `signal`: of the work that it is for. Default: nothing stops it. */
export async function connect(
  config: PostgresConfig,
  signal: AbortSignal = new AbortController().signal,
): Promise<Client> {
  const socket = new Socket()
  const client = openClient({ ...clientOptions(config), application_name: 'syncline', stream: () => socket }, config)
  // Without a listener a lost idle connection would end the process.
  const loss: { error: Error | null } = { error: null }
  client.on('error', (error) => {
    loss.error = error
  })
  const place = placeOf(config)
  try {
    await client.connect()
    const session = new Session(
      client,
      socket,
      { place, maxRowBytes: config.maxRowBytes ?? limits.rowBytes },
      { loss, statements: new StoppableStatements(client, socket, signal) },
      await askTraits(client, config),
    )
    const setting = sessionSetting(session.traits)
    if (setting !== null) await client.query({ text: setting })
    return session
  } catch (error) {
    await hangUp(client, socket)
    throw translate(error, place)
  }
}

async function askTraits(client: pg.Client, { connectTimeoutMs }: PostgresConfig): Promise<ServerTraits> {
  const query = { text: traitsQuery, query_timeout: connectTimeoutMs, rowMode: 'array', types: textTypes } as const
  return traitsOf(lastOf(await client.query<(string | null)[]>(query)).rows[0] ?? [])
}

class Session implements Client {
  readonly dialect = dialect
  readonly traits: ServerTraits
  readonly #client: pg.Client
  readonly #socket: Socket
  readonly #place: string
  readonly #maxRowBytes: number
  readonly #loss: { readonly error: Error | null }
  readonly #statements: StoppableStatements
  readonly #settings: Readonly<Record<'read' | 'write', string>>
  /** As of the statements that were asked for, which run in this order. */
  #inTransaction = false

  constructor(
    client: pg.Client,
    socket: Socket,
    { place, maxRowBytes }: { readonly place: string; readonly maxRowBytes: number },
    { loss, statements }: { readonly loss: { readonly error: Error | null }; readonly statements: StoppableStatements },
    traits: ServerTraits,
  ) {
    this.#client = client
    this.#socket = socket
    this.#place = place
    this.#maxRowBytes = maxRowBytes
    this.#loss = loss
    this.#statements = statements
    this.traits = traits
    this.#settings = { read: localSettings(traits, 'read'), write: localSettings(traits, 'write') }
  }

  async query(sql: string, values: readonly SqlValue[] = []): Promise<TextRow[]> {
    return (await this.#send(sql, values)).rows
  }

  async execute(sql: string, values: readonly SqlValue[] = []): Promise<number> {
    return (await this.#send(sql, values)).rowCount ?? 0
  }

  async begin(purpose: keyof typeof transactions, first = ''): Promise<TextRow[]> {
    const settings = this.#settings[purpose === 'write' ? 'write' : 'read']
    this.#inTransaction = true
    try {
      return (await this.#raw(`${transactions[purpose]}; ${settings}; ${first}`)).rows
    } catch (error) {
      await this.rollback()
      throw error
    }
  }

  async commit(last = ''): Promise<void> {
    this.#inTransaction = false
    const { command } = await this.#raw(`${last === '' ? '' : `${last}; `}COMMIT`)
    // A transaction in which a statement failed is rolled back, and no error says so.
    if (command !== 'COMMIT') throw new SyncError('INTERNAL', 'a transaction that had failed was to be committed')
  }

  async rollback(): Promise<void> {
    this.#inTransaction = false
    await this.#raw('ROLLBACK').catch(() => {})
  }

  async *copyOut(sql: string): AsyncIterable<Frames> {
    const inside = this.#inTransaction
    const whole = inside ? `SAVEPOINT copying; ${sql}; RELEASE SAVEPOINT copying` : alone(this.#settings.read, sql)
    const copy = this.#client.query(new CopyOut(whole, this.#maxRowBytes))
    try {
      for (;;) {
        const { done, value } = await this.#statements.run(() => copy.next())
        if (done === true) return
        yield value
      }
    } catch (error) {
      if (inside) await this.#raw('ROLLBACK TO SAVEPOINT copying; RELEASE SAVEPOINT copying').catch(() => {})
      throw translate(this.#statements.reasonOf(error), this.#place)
    } finally {
      await copy.return()
    }
  }

  copyIn(sql: string): Inflow {
    const copy = this.#client.query(new CopyIn(sql))
    return {
      write: (frames) => this.#guarded(() => copy.write(frames)),
      end: () => this.#guarded(() => copy.end()),
      abandon: () => copy.abandon(),
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return hangUp(this.#client, this.#socket)
  }

  #send(sql: string, values: readonly SqlValue[]): Promise<pg.QueryArrayResult<(string | null)[]>> {
    if (this.#inTransaction) return this.#raw(sql, values)
    return this.#raw(alone(this.#settings.read, inlined(sql, values)))
  }

  #raw(text: string, values: readonly SqlValue[] = []): Promise<pg.QueryArrayResult<(string | null)[]>> {
    return this.#guarded(async () =>
      lastOf(
        await this.#client.query<(string | null)[]>({ text, values: [...values], rowMode: 'array', types: textTypes }),
      ),
    )
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      if (this.#loss.error !== null) throw this.#loss.error
      return await this.#statements.run(work)
    } catch (error) {
      throw translate(this.#statements.reasonOf(error), this.#place)
    }
  }
}

/** Of several statements in one message. */
function lastOf<Result>(result: Result | Result[]): Result {
  return Array.isArray(result) ? (result.at(-1) as Result) : result
}

/** A message of several statements takes no parameters. */
function inlined(sql: string, values: readonly SqlValue[]): string {
  if (values.length === 0) return sql
  return sql.replace(/\$(\d+)/g, (_all, number: string) => {
    const value = values[Number(number) - 1]
    if (value === null) return 'NULL'
    if (typeof value !== 'object' && value !== undefined) return quoteText(String(value))
    throw new SyncError('INTERNAL', 'a list of values outside of a transaction')
  })
}

/** The driver waits until the server hangs up, which one that is broken, or not a friend, never does. */
async function hangUp(client: pg.Client, socket: Socket): Promise<void> {
  const waiting = new AbortController()
  const { signal } = waiting
  await Promise.race([client.end(), sleep(HANG_UP_MS, undefined, { signal })]).catch(() => {})
  waiting.abort()
  socket.destroy()
}

function openClient(options: pg.ClientConfig, { environment }: PostgresConfig): pg.Client {
  const client = new pg.Client(options)
  // PGOPTIONS and PGREPLICATION: to the driver an empty option is none.
  const parameters: unknown = Reflect.get(client, 'connectionParameters')
  if (environment === false && typeof parameters === 'object' && parameters !== null)
    Object.assign(parameters, { options: '', replication: '' })
  return client
}
