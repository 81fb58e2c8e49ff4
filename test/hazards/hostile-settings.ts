/** Settings that break what trusts them: each changes a meaning, a time limit or a permission. */
import type { Session } from './pair.ts'

/** As anybody may set them for a role or a database. */
export const hostile: Readonly<Record<string, string>> = {
  bytea_output: 'escape',
  DateStyle: 'German',
  TimeZone: 'Asia/Tokyo',
  extra_float_digits: '-5',
  IntervalStyle: 'sql_standard',
  lc_monetary: 'C.UTF-8',
  xmloption: 'document',
  xmlbinary: 'hex',
  array_nulls: 'off',
  search_path: 'hostile, pg_catalog, public',
  standard_conforming_strings: 'off',
  backslash_quote: 'off',
  transform_null_equals: 'on',
  quote_all_identifiers: 'on',
  gin_fuzzy_search_limit: '1',
  row_security: 'off',
  exit_on_error: 'on',
  client_encoding: 'LATIN1',
  statement_timeout: '50ms',
  lock_timeout: '1ms',
  idle_in_transaction_session_timeout: '20ms',
  idle_session_timeout: '500ms',
  transaction_timeout: '50ms',
  default_transaction_read_only: 'on',
  default_transaction_isolation: 'serializable',
  default_transaction_deferrable: 'on',
  restrict_nonsystem_relation_kind: 'view, foreign-table',
  timezone_abbreviations: 'Australia',
  zero_damaged_pages: 'on',
  session_replication_role: 'replica',
}

export const isTimeLimit = (name: string): boolean => name.endsWith('_timeout')

/**
 * For every further session in the database, or only for those of one role. A setting that this version of the server does
 * not know is left out.
 */
export async function setHostile(sql: Session, names: readonly string[], role?: string): Promise<void> {
  await sql(`CREATE SCHEMA IF NOT EXISTS hostile;
    CREATE OR REPLACE FUNCTION hostile.count(anyelement) RETURNS bigint LANGUAGE sql AS 'SELECT 7::bigint';
    CREATE OR REPLACE FUNCTION hostile.to_regclass(text) RETURNS regclass LANGUAGE sql AS 'SELECT NULL::regclass'`)
  const whose = role === undefined ? 'DATABASE %I' : `ROLE ${role} IN DATABASE %I`
  for (const name of names) {
    const [known] = await sql(`SELECT 1 FROM pg_settings WHERE lower(name) = lower('${name}')`)
    if (known === undefined) continue
    const value = name === 'search_path' ? hostile[name] : `'${hostile[name]}'`
    const alter = `ALTER ${whose} SET ${name} = ${value}`
    await sql(`DO $do$ BEGIN EXECUTE format($sql$${alter}$sql$, current_database()); END $do$`)
  }
}
