/**
 * Server settings that change what values mean, what a statement does, or whether it may run. Each of our transactions
 * sets them for itself, so that they hold whatever role, database or server say, and behind a pooler that gives every
 * transaction another session. docs/decisions/0012-server-settings.md goes through all settings of the server.
 */
import { quote } from '../sql.ts'

/** What a server is asked once per connection, because not every version, and not every role, can have everything set. */
export interface ServerTraits {
  /** As the server stores text. SQL_ASCII: bytes that nobody checked. */
  readonly encoding: string
  /** Existing schemas of the role's own search path, in order. */
  readonly schemas: readonly string[]
  /** By name: what the settings of `optional`, `privileged` and `idle_session_timeout` are. Null: there is none of that name. */
  readonly current: ReadonlyMap<string, string | null>
}

/** Every role may set these, on every version. */
const common: readonly (readonly [name: string, value: string])[] = [
  // Time limits: a run has its own (`timeout` of a sync).
  ['statement_timeout', '0'],
  ['lock_timeout', '0'],
  ['idle_in_transaction_session_timeout', '0'],
  // How values are spelled, and how their spelling is read.
  ['TimeZone', 'UTC'],
  ['DateStyle', 'ISO, MDY'],
  ['IntervalStyle', 'postgres'],
  ['extra_float_digits', '1'],
  ['bytea_output', 'hex'],
  ['lc_monetary', 'C'],
  ['xmloption', 'content'],
  ['xmlbinary', 'base64'],
  ['array_nulls', 'on'],
  // What statements mean.
  ['standard_conforming_strings', 'on'],
  ['transform_null_equals', 'off'],
  ['quote_all_identifiers', 'off'],
  ['gin_fuzzy_search_limit', '0'],
  ['row_security', 'on'],
  // An error of one row must not end the session.
  ['exit_on_error', 'off'],
  // Compiling costs more than our short statements: measured, the keys of 1000 ranges take 131 ms with it and 39 ms without.
  ['jit', 'off'],
]

/** Not on every version, or slow to set: set where it is there and not so already. */
const optional: readonly (readonly [name: string, value: string])[] = [
  ['transaction_timeout', '0'],
  ['restrict_nonsystem_relation_kind', ''],
  ['timezone_abbreviations', 'Default'],
]

/**
 * Only a superuser may set these. Where one is not so, it is set all the same, and the server's refusal names it.
 * Damaged pages that are read as if they were empty would look like deletions …
 */
const privileged: readonly (readonly [name: string, value: string])[] = [
  ['zero_damaged_pages', 'off'],
  ['ignore_checksum_failure', 'off'],
]
/** … and triggers and foreign keys that don't fire let in what the table refuses. */
const privilegedForWriting: typeof privileged = [['session_replication_role', 'origin']]

/** For transactions that only read: at once, and also on a standby. */
const READ = 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY'

const asked = [...optional, ...privileged, ...privilegedForWriting].map(([name]) => name).concat('idle_session_timeout')

/** Gives one row: see `traitsOf`. Nothing in it depends on what is searched first. */
export const traitsQuery = `${READ}; SET LOCAL statement_timeout TO 0; SET LOCAL search_path TO DEFAULT; SET LOCAL role TO DEFAULT;
  SELECT pg_catalog.current_setting('server_encoding'), pg_catalog.array_to_json(pg_catalog.current_schemas(false)),
    pg_catalog.to_regnamespace('public') IS NOT NULL, ${asked.map((name) => `pg_catalog.current_setting('${name}', true)`).join(', ')}`

export function traitsOf([encoding, path, hasPublic, ...values]: readonly (string | null)[]): ServerTraits {
  const schemas = (JSON.parse(path ?? '[]') as string[]).filter((schema) => !/^pg_(catalog$|temp|toast)/.test(schema))
  return {
    encoding: encoding ?? '',
    schemas: schemas.length === 0 && hasPublic === 't' ? ['public'] : schemas,
    current: new Map(asked.map((name, at) => [name, values[at] ?? null])),
  }
}

/**
 * The statements that a transaction begins with. None of them takes a snapshot. What the catalog holds comes first, whatever
 * the role's search path says; then its own schemas, which functions of its triggers may rely on.
 */
export function localSettings({ encoding, schemas, current }: ServerTraits, purpose: 'read' | 'write'): string {
  const wanted = [...optional, ...privileged, ...(purpose === 'write' ? privilegedForWriting : [])]
  const differing = wanted.filter(([name, value]) => {
    const now = current.get(name) ?? null
    return now !== null && now !== value
  })
  return [
    'SET LOCAL role TO DEFAULT',
    `SET LOCAL search_path TO ${[...schemas.map(quote), 'pg_temp'].join(', ')}`,
    // Without a conversion: what is not UTF-8 is refused row by row.
    `SET LOCAL client_encoding TO '${encoding === 'SQL_ASCII' ? encoding : 'UTF8'}'`,
    ...[...common, ...differing].map(([name, value]) => `SET LOCAL ${name} TO '${value}'`),
  ].join('; ')
}

/** How transactions begin, by what they are for. */
export const transactions = {
  write: 'BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE, NOT DEFERRABLE',
  snapshot: 'BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY, NOT DEFERRABLE',
} as const

/** A transaction of one statement that only reads, in one message: the server ends it with the message. */
export function alone(settings: string, sql: string): string {
  return `${READ}; ${settings}; ${sql}`
}

/** Between transactions no other setting counts. Null: it is off. */
export function sessionSetting({ current }: ServerTraits): string | null {
  const limit = current.get('idle_session_timeout') ?? '0'
  return limit === '0' ? null : "SET idle_session_timeout TO '0'"
}
