/** The built-in connectors: what a `.json` config may name, and what the config needs to know about each. */
import type { Connector } from '../connectors/connector.ts'
import { postgres } from '../connectors/postgres/index.ts'
import { sqlite } from '../connectors/sqlite/index.ts'
import { SyncError } from '../core/error.ts'

export interface BuiltIn {
  /** `never`: each takes its own config, which it validates itself. */
  readonly connector: Connector<never>
  /** Options that name files, with dots for nested ones: relative to the config file. */
  readonly files: readonly string[]
  /** Adds to what a connection of an integration says what it may not say itself. CONFIG_INVALID: it may not say something. */
  readonly confine: (own: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>
  /** The schema that a collection without one is in; null: the system has no schemas. */
  readonly defaultSchema: string | null
  /** Whether `Orders` and `orders` are two collections. */
  readonly caseSensitive: boolean
  /** Whether a writer keeps all others out, and waits for them without letting anything else go on in its process. */
  readonly exclusive: boolean
}

export const connectors: readonly BuiltIn[] = [
  {
    connector: postgres as unknown as Connector<never>,
    files: ['tls.ca', 'tls.cert', 'tls.key'],
    confine: confinePostgres,
    defaultSchema: 'public',
    caseSensitive: true,
    exclusive: false,
  },
  {
    connector: sqlite as unknown as Connector<never>,
    files: ['file'],
    confine: confineSqlite,
    defaultSchema: null,
    caseSensitive: false,
    exclusive: true,
  },
]

/** What is known of a connector; of one that is not built in: it has no files and no schemas. */
export function builtIn(name: string): Omit<BuiltIn, 'connector'> {
  const found = connectors.find(({ connector }) => connector.name === name)
  return found ?? { files: [], confine: (own) => own, defaultSchema: null, caseSensitive: true, exclusive: false }
}

/** Other syncs of the file wait as long. */
const LONGEST_BUSY_MS = 5000

function confineSqlite(own: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if (typeof own.busyTimeoutMs === 'number' && own.busyTimeoutMs > LONGEST_BUSY_MS)
    throw new SyncError(
      'CONFIG_INVALID',
      `busyTimeoutMs: at most ${LONGEST_BUSY_MS} for a connection of an integration`,
      {
        hint: 'Other syncs of the file wait meanwhile. A locked file is tried again by itself.',
      },
    )
  return own
}

/** Nothing of the service's own goes to a database of somebody else: no password of its environment, and no login as its user. */
function confinePostgres(own: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if ('environment' in own)
    throw new SyncError('CONFIG_INVALID', 'environment: connections of integrations never use it')
  if (typeof own.host === 'string' && own.host.startsWith('/')) {
    throw new SyncError('CONFIG_INVALID', 'host: a socket of this machine', {
      hint: 'An integration itself may say such a host in the config file.',
    })
  }
  return { ...own, environment: false }
}
