/** Connections to a Postgres server, COPY streams on them, and its errors in our words. */
import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ConnectionOptions } from 'node:tls'
import pg from 'pg'
import { SyncError } from '../../core/error.ts'
import { addressOf, sslModes } from './address.ts'
import { CopyIn, CopyOut } from './copy-stream.ts'
import type { Frames } from './frames.ts'
import type { PostgresConfig } from './index.ts'
import { sessionSettings } from './types.ts'

/** One session. Statements run one after another. */
export interface Client extends AsyncDisposable {
  /** Rows as arrays of text (every value in Postgres' own spelling) for the statement's last result. */
  query(sql: string, values?: readonly unknown[]): Promise<TextRow[]>
  /** How many rows the statement wrote. */
  execute(sql: string, values?: readonly unknown[]): Promise<number>
  /** The rows of COPY … TO STDOUT. */
  copyOut(sql: string): AsyncIterable<Frames>
  /** Begins COPY … FROM STDIN; the session does nothing else until it has ended. */
  copyIn(sql: string): Inflow
}

/** A COPY … FROM STDIN under way. */
export type Inflow = Pick<CopyIn, 'write' | 'end' | 'abandon'>

export type TextRow = readonly (string | null)[]

/** How long a server may take to end a session. */
const HANG_UP_MS = 1000

/** Values arrive as the text Postgres sent. */
const textTypes = { getTypeParser: () => (value: string) => value }

/** Opens a session with our settings. The error names host and port, never the password. */
export async function connect(config: PostgresConfig, applicationName = 'syncline'): Promise<Client> {
  const socket = new Socket()
  const options = { ...clientOptions(config), application_name: applicationName, stream: () => socket }
  const client = openClient(options, config)
  // Without a listener a lost idle connection would end the process.
  let lost: Error | null = null
  client.on('error', (error) => {
    lost = error
  })
  try {
    await client.connect()
    const settings = { text: sessionSettings, query_timeout: config.connectTimeoutMs }
    await client.query(settings)
  } catch (error) {
    await hangUp(client, socket)
    throw translate(error, config)
  }
  const guarded = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      if (lost !== null) throw lost
      return await work()
    } catch (error) {
      throw translate(error, config)
    }
  }
  return {
    query: (sql, values = []) =>
      guarded(async () => {
        const result = await client.query({ text: sql, values: [...values], rowMode: 'array', types: textTypes })
        const last = Array.isArray(result) ? result.at(-1) : result
        return last.rows
      }),
    execute: (sql, values = []) =>
      guarded(async () => {
        const result = await client.query({ text: sql, values: [...values], rowMode: 'array', types: textTypes })
        return (Array.isArray(result) ? result.at(-1) : result).rowCount ?? 0
      }),
    copyOut: (sql) => copyOut(client, sql, config),
    copyIn: (sql) => copyIn(client, sql, guarded),
    [Symbol.asyncDispose]: () => hangUp(client, socket),
  }
}

/** The driver waits until the server hangs up, which one that is broken, or not a friend, never does. */
async function hangUp(client: pg.Client, socket: Socket): Promise<void> {
  const waiting = new AbortController()
  const { signal } = waiting
  await Promise.race([client.end(), sleep(HANG_UP_MS, undefined, { signal })]).catch(() => {})
  waiting.abort()
  socket.destroy()
}

async function* copyOut(client: pg.Client, sql: string, config: PostgresConfig): AsyncIterable<Frames> {
  try {
    yield* client.query(new CopyOut(sql))
  } catch (error) {
    throw translate(error, config)
  }
}

type Guarded = <T>(work: () => Promise<T>) => Promise<T>

function copyIn(client: pg.Client, sql: string, guarded: Guarded): Inflow {
  const copy = client.query(new CopyIn(sql))
  return {
    write: (frames) => guarded(() => copy.write(frames)),
    end: () => guarded(() => copy.end()),
    abandon: () => copy.abandon(),
  }
}

function openClient(options: pg.ClientConfig, { environment }: PostgresConfig): pg.Client {
  const client = new pg.Client(options)
  // PGOPTIONS and PGREPLICATION: to the driver an empty option is none.
  const parameters: unknown = Reflect.get(client, 'connectionParameters')
  if (environment === false && typeof parameters === 'object' && parameters !== null)
    Object.assign(parameters, { options: '', replication: '' })
  return client
}

/** What the driver is told. */
export function clientOptions(config: PostgresConfig): pg.ClientConfig {
  return config.environment === false ? closedOptions(config) : openOptions(config)
}

/** Everything that the driver would else take from the environment. */
function closedOptions({ url, ...said }: PostgresConfig): pg.ClientConfig {
  const address = url === undefined ? null : addressOf(url)
  if (address === null)
    return { ...openOptions(said), ...closed, port: said.port ?? 5432, ssl: tlsOf(said.tls) ?? false }
  const { host, port, user, password, database, parameters } = address
  const ssl = tlsOf(said.tls) ?? sslModes.get(parameters.get('sslmode') ?? 'disable') ?? true
  return { ...openOptions(said), ...closed, host, port: Number(port || 5432), user, password, database, ssl }
}

const closed = { client_encoding: 'UTF8', sslnegotiation: 'postgres' } as const

function openOptions(config: PostgresConfig): pg.ClientConfig {
  const { url, host, port, user, password, database, connectTimeoutMs } = config
  const options: pg.ClientConfig = { connectionTimeoutMillis: connectTimeoutMs, keepAlive: true }
  if (url !== undefined) options.connectionString = url
  if (host !== undefined) options.host = host
  if (port !== undefined) options.port = port
  if (user !== undefined) options.user = user
  if (password !== undefined) options.password = password
  if (database !== undefined) options.database = database
  const ssl = tlsOf(config.tls)
  if (ssl !== undefined) options.ssl = ssl
  return options
}

function tlsOf(tls: PostgresConfig['tls']): boolean | ConnectionOptions | undefined {
  return typeof tls === 'object' ? tlsOptions(tls) : tls
}

function tlsOptions(tls: Exclude<PostgresConfig['tls'], boolean | undefined>): ConnectionOptions {
  const options: ConnectionOptions = { rejectUnauthorized: tls.rejectUnauthorized ?? true }
  try {
    if (tls.ca !== undefined) options.ca = readFileSync(tls.ca)
    if (tls.cert !== undefined) options.cert = readFileSync(tls.cert)
    if (tls.key !== undefined) options.key = readFileSync(tls.key)
  } catch (error) {
    throw new SyncError(
      'FILE_UNUSABLE',
      `can't read a certificate: ${error instanceof Error ? error.message : error}`,
      { hint: 'Check the files under `tls` of the connection.', cause: error },
    )
  }
  if (tls.servername !== undefined) options.servername = tls.servername
  return options
}

/** Host, port and database for messages: never user or password. */
export function placeOf(config: PostgresConfig): string {
  try {
    if (config.url !== undefined) {
      const url = new URL(config.url)
      // With another scheme, what looks like a path may hold the password.
      if (!/^postgres(ql)?:$/.test(url.protocol)) return 'the database of the connection'
      return `${url.hostname || 'localhost'}:${url.port || '5432'}${url.pathname}`
    }
  } catch {
    return 'the database of the connection'
  }
  return `${config.host ?? 'localhost'}:${config.port ?? 5432}/${config.database ?? ''}`
}

/** Postgres' or the network's error as ours. */
export function translate(error: unknown, config: PostgresConfig): unknown {
  if (error instanceof SyncError || !(error instanceof Error)) return error
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const place = placeOf(config)
  const make = (kind: ConstructorParameters<typeof SyncError>[0], message: string, hint: string) =>
    new SyncError(kind, message, { hint, cause: error })
  const unanswered = ['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN'].includes(code)
  // What the driver says when nobody answered within connectTimeoutMs.
  if (unanswered || ['timeout expired', 'Query read timeout'].includes(error.message)) {
    return make(
      'CONNECTION_REFUSED',
      `no Postgres answers at ${place} (${code || 'timeout expired'})`,
      'Is the server running, and are host and port right?',
    )
  }
  if (code === '57P03' || code === '53300')
    return make(
      'CONNECTION_REFUSED',
      `Postgres at ${place} takes no connection now: ${error.message}`,
      'Wait until it is ready, or close some connections.',
    )
  if (code.startsWith('28'))
    return make(
      'AUTH_FAILED',
      `Postgres at ${place} refused the login: ${error.message}`,
      'Check user and password of the connection.',
    )
  if (/CERT|UNABLE_TO_|ALTNAME/.test(code) || /does not support SSL/.test(error.message)) {
    return make(
      'TLS_FAILED',
      `no trusted TLS connection to Postgres at ${place}: ${error.message}`,
      "Name the server's authority (tls: { ca: './ca.pem' }), or turn TLS off or its check down if you know why.",
    )
  }
  if (code === '3D000')
    return make(
      'DATABASE_UNKNOWN',
      `Postgres at ${place}: ${error.message}`,
      'Check the database name of the connection.',
    )
  if (code === '42501') return make('GRANT_MISSING', `Postgres at ${place}: ${error.message}`, grantHint(error.message))
  if (code === '53100')
    return make('DISK_FULL', `Postgres at ${place}: ${error.message}`, 'Free some space on the server and run again.')
  // Gone, or there already: a worker that was taken over may have made it meanwhile.
  if (code === '42P01' || code === '42703' || code === '42P07')
    return make(
      'SCHEMA_CHANGED',
      `Postgres at ${place}: ${error.message}`,
      'A table changed while a run was using it. The run is tried again with the new schema.',
    )
  if (code === '55P03')
    return make(
      'DATABASE_LOCKED',
      `Postgres at ${place}: ${error.message}`,
      'Another session holds a lock on the table.',
    )
  if (['40001', '40P01'].includes(code))
    return make(
      'DATABASE_LOCKED',
      `Postgres at ${place}: ${error.message}`,
      'Another transaction was in the way; the run is tried again.',
    )
  if (
    code.startsWith('08') ||
    code.startsWith('57P') ||
    ['ECONNRESET', 'EPIPE', 'ETIMEDOUT'].includes(code) ||
    /terminated|not queryable|Connection ended/i.test(error.message)
  ) {
    return make(
      'CONNECTION_LOST',
      `the connection to Postgres at ${place} was lost: ${error.message}`,
      'The run goes on from the last checkpoint when the server is back.',
    )
  }
  return error
}

function grantHint(message: string): string {
  const relation = /for (?:table|relation|view|sequence) (\S+)/.exec(message)?.[1]
  const schema = /for schema (\S+)/.exec(message)?.[1]
  if (relation !== undefined)
    return `As its owner: GRANT SELECT ON ${relation} TO <user>; a target also needs INSERT, UPDATE, DELETE.`
  if (schema !== undefined)
    return `As its owner: GRANT USAGE ON SCHEMA ${schema} TO <user>; a target also needs CREATE.`
  return 'Grant the missing right; docs/connectors/postgres.md lists what a source and a target need.'
}

/** Classes of errors that a row brings about: data exceptions, integrity violations, and what triggers, functions and checked views raise. */
const rowClasses = ['09', '21', '22', '23', '27', '2F', '38', '39', '44', 'P0']
const INDEX_ENTRY_TOO_LARGE = '54000'

/** The function of the server that refuses for a missing right. Its name is the same in all languages. */
const LACKS_RIGHT = 'aclcheck_error'

/** Whether the user lacks a right. Row-level security and triggers refuse single rows with the same code, by other functions. */
export function isMissingRight(error: unknown): boolean {
  const told = toldByServer(error)
  return told?.code === '42501' && told.routine === LACKS_RIGHT
}

/** What the server said, where an error is its or was made of it. */
export function toldByServer(error: unknown): pg.DatabaseError | null {
  const told = error instanceof SyncError ? error.cause : error
  return told instanceof pg.DatabaseError ? told : null
}

/** Whether the error is about one row. */
export function isRowError(error: unknown): boolean {
  if (error instanceof SyncError && error.code === 'VALUE_REFUSED') return true
  const code = toldByServer(error)?.code ?? ''
  if (code === '42501') return !isMissingRight(error)
  return rowClasses.includes(code.slice(0, 2)) || code === INDEX_ENTRY_TOO_LARGE
}

/** Whether Postgres refused to alter a table: something depends on the column (0A, 2B), or the change does not fit (42). `detail` names what. */
export function isRefusedChange(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && /^(0A|2B|42)/.test(error.code ?? '')
}
