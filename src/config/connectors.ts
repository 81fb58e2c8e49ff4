/** The built-in connectors: what a `.json` config may name, and what the config needs to know about each. */
import type { Connector } from '../connectors/connector.ts'
import { postgres } from '../connectors/postgres/index.ts'
import { sqlite } from '../connectors/sqlite/index.ts'

export interface BuiltIn {
  /** `never`: each takes its own config, which it validates itself. */
  readonly connector: Connector<never>
  /** Options that name files, with dots for nested ones: relative to the config file. */
  readonly files: readonly string[]
  /** By options that are URLs: their parameters that name files. */
  readonly fileParameters: Readonly<Record<string, readonly string[]>>
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
    fileParameters: { url: ['sslcert', 'sslkey', 'sslrootcert'] },
    defaultSchema: 'public',
    caseSensitive: true,
    exclusive: false,
  },
  {
    connector: sqlite as unknown as Connector<never>,
    files: ['file'],
    fileParameters: {},
    defaultSchema: null,
    caseSensitive: false,
    exclusive: true,
  },
]

/** What is known of a connector; of one that is not built in: it has no files and no schemas. */
export function builtIn(name: string): Omit<BuiltIn, 'connector'> {
  const found = connectors.find(({ connector }) => connector.name === name)
  return found ?? { files: [], fileParameters: {}, defaultSchema: null, caseSensitive: true, exclusive: false }
}
