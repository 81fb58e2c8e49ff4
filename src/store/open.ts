/** Which store a project has: the embedded one in its folder, or the one that SYNCLINE_STORE names. */
import { SyncError } from '../core/error.ts'
import { openSqliteStore } from './sqlite/store.ts'
import type { Store } from './store.ts'

export interface OpenOptions {
  /** Writes nothing: a project without state has the id "" and no history. */
  readonly readOnly?: boolean
}

/** What SYNCLINE_STORE says: null, the embedded store. CONFIG_INVALID: it names no store that there is. */
export function storeUrl(environment: Readonly<Record<string, string | undefined>>): string | null {
  const url = environment.SYNCLINE_STORE ?? ''
  if (url === '') return null
  if (isStoreUrl(url)) return url
  // Not the value: it may hold a password.
  throw new SyncError('CONFIG_INVALID', 'SYNCLINE_STORE is no postgres:// URL', {
    hint: 'Set it to postgres://user:password@host:port/database, or take it away: then state is in .syncline.',
  })
}

/** Whether it names a store on a server, not a folder. */
export function isStoreUrl(text: string): boolean {
  return /^postgres(ql)?:\/\//.test(text)
}

export async function openStore(
  folder: string,
  environment: Readonly<Record<string, string | undefined>>,
  options: OpenOptions = {},
): Promise<Store> {
  const url = storeUrl(environment)
  return url === null ? await openSqliteStore(folder, options) : await openStoreAt(url, options)
}

/** The store on a server. Its driver is loaded now. */
export async function openStoreAt(url: string, options: OpenOptions = {}): Promise<Store> {
  const { openPostgresStore } = await import('./postgres/store.ts')
  return await openPostgresStore(url, options)
}
