/** Finding what a request names, among what its key may see. What it may not see does not exist for it. */
import { type ErrorCode, SyncError } from '../core/error.ts'
import { didYouMean } from '../core/name.ts'
import type { ApiKey } from '../engine/keys.ts'
import type { KnownSync, Operations } from '../engine/operations.ts'
import { maySee } from './auth.ts'

/** The syncs that the key may see. */
export function visibleSyncs(operations: Operations, key: ApiKey | null): readonly KnownSync[] {
  return operations.syncs().filter(({ project }) => maySee(key, project))
}

/** SYNC_UNKNOWN names the nearest. */
export function visibleSync(operations: Operations, key: ApiKey | null, name: string): KnownSync {
  const found = operations.sync(name)
  if (found !== null && maySee(key, found.project)) return found
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

export function nothing(code: ErrorCode, kind: string, name: string, names: readonly string[]): SyncError {
  const short = name.slice(0, 100)
  const others = didYouMean(short, names) || (names.length === 0 ? '' : `; there are ${names.slice(0, 20).join(', ')}`)
  return new SyncError(code, `there is no ${kind} "${short}"${others}`)
}
