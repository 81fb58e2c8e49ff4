/** The parameters of a postgres:// URL. The driver takes no notice of one that it does not know: `sslmod=require` would connect without TLS. */
import { nearestNames } from './name.ts'

/** Those that the driver goes by, and those of others that change nothing of who is asked, how safely, and what is read and written. */
const known = [
  ...['host', 'port', 'user', 'password', 'database', 'application_name', 'fallback_application_name', 'options'],
  ...['ssl', 'sslmode', 'sslcert', 'sslkey', 'sslrootcert', 'sslnegotiation', 'uselibpqcompat', 'channel_binding'],
  ...['client_encoding', 'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'query_timeout'],
  ...[
    'connect_timeout',
    'tcp_user_timeout',
    'keepalives',
    'keepalives_idle',
    'keepalives_interval',
    'keepalives_count',
  ],
  ...['target_session_attrs', 'passfile', 'gssencmode', 'gsslib', 'gssdelegation', 'krbsrvname'],
  ...['sslsni', 'sslcompression', 'load_balance_hosts', 'pgbouncer'],
]

/** What is wrong with their names, in words that hold no value. Null: nothing. */
export function mistakenParameter(parameters: URLSearchParams): string | null {
  const names = [...parameters.keys()]
  const strange = names.find((name) => !known.includes(name))
  if (strange !== undefined) {
    const nearest = nearestNames(strange, known, 1)
    const advice = nearest.length > 0 ? `did you mean ${nearest[0]}?` : 'take it out'
    return `has a parameter ${strange}, which Syncline does not go by: ${advice}`
  }
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  return twice === undefined ? null : `says ${twice} twice`
}
