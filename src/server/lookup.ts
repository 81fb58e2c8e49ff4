/** Finding what a request names, among what its key may see. What it may not see does not exist for it. */
import { type ErrorCode, SyncError } from '../core/error.ts'
import { didYouMean } from '../core/name.ts'
import type { KnownConnection, KnownSync, Operations } from '../engine/operations.ts'
import type { ApiKey } from '../engine/secrets/api-keys.ts'
import { maySee } from './auth.ts'

/** The syncs that the key may see. */
export function visibleSyncs(operations: Operations, key: ApiKey | null): readonly KnownSync[] {
  return operations.syncs().filter(({ project }) => maySee(key, project))
}

/** SYNC_UNKNOWN names the nearest. */
export function visibleSync(operations: Operations, key: ApiKey | null, name: string): KnownSync {
  const found = operations.sync(name)
  if (found !== null && maySee(key, found.project)) return found
  const aside = operations.setAside(name)
  const made = operations.madeSync(name.split('/')[0] ?? name)
  if (aside !== null && made !== null && maySee(key, made.project)) throw aside
  const syncs = visibleSyncs(operations, key)
  throw nothing(
    'SYNC_UNKNOWN',
    'sync',
    name,
    syncs.map(({ sync }) => sync.id),
  )
}

/** Whether the key may see the sync of that name, also one that is not there any more. */
export function seesSync(operations: Operations, key: ApiKey | null, name: string): boolean {
  if (key?.project === null) return true
  const found = operations.sync(name)
  return found !== null && maySee(key, found.project)
}

/** What a list is to be of: this sync, and of those that the key may see. A key of no project sees all, also of syncs that are gone. */
export function syncsFilter(
  operations: Operations,
  key: ApiKey | null,
  sync: string | undefined,
): { readonly sync?: string; readonly among?: readonly string[] } {
  const among = key?.project === null ? {} : { among: visibleSyncs(operations, key).map((known) => known.sync.id) }
  return { ...(sync === undefined ? {} : { sync }), ...among }
}

/** The connections that the key may see. */
export function visibleConnections(operations: Operations, key: ApiKey | null): readonly KnownConnection[] {
  return operations.connections().filter(({ projects }) => key?.project == null || projects.includes(key.project))
}

/** CONNECTION_UNKNOWN names the nearest. */
export function visibleConnection(operations: Operations, key: ApiKey | null, name: string): KnownConnection {
  const connections = visibleConnections(operations, key)
  const found = connections.find((connection) => connection.name === name)
  if (found !== undefined) return found
  throw nothing(
    'CONNECTION_UNKNOWN',
    'connection',
    name,
    connections.map((connection) => connection.name),
  )
}

/** Whose a new thing is: the key's own project, or the one that a key of no project names. */
export function projectFor(key: ApiKey | null, named: string | undefined): string | null {
  const own = key?.project ?? null
  if (own === null) return named ?? null
  if (named === undefined || named === own) return own
  throw new SyncError('FORBIDDEN', 'this key is of another project')
}

export function nothing(code: ErrorCode, kind: string, name: string, names: readonly string[]): SyncError {
  const short = name.slice(0, 100)
  const others = didYouMean(short, names) || (names.length === 0 ? '' : `; there are ${names.slice(0, 20).join(', ')}`)
  return new SyncError(code, `there is no ${kind} "${short}"${others}`)
}
