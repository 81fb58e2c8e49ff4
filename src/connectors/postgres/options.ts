/** What the driver is told of a connection, and what people are told of its place. */
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import type pg from 'pg'
import { SyncError } from '../../core/error.ts'
import { addressOf, mistakeIn, sslModes } from './address.ts'
import type { PostgresConfig } from './config.ts'

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
  // To the driver all of these are one, and it would tell the user so.
  if (url !== undefined)
    options.connectionString = url.replace(/([?&]sslmode=)(require|verify-ca)(?=&|$)/, '$1verify-full')
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
      if (!/^postgres(ql)?:$/.test(url.protocol) || mistakeIn(config.url) !== null)
        return 'the database of the connection'
      return `${url.hostname || 'localhost'}:${url.port || '5432'}${url.pathname}`
    }
  } catch {
    return 'the database of the connection'
  }
  return `${config.host ?? 'localhost'}:${config.port ?? 5432}/${config.database ?? ''}`
}
