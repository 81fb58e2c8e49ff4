/** Runs that somebody asks for by the API. */
import type { Job, Priority } from '../core/job.ts'
import type { KnownSync, Operations } from '../engine/operations.ts'
import type { ApiKey } from '../engine/secrets/api-keys.ts'

/** Puts a sync into the queue. FORBIDDEN: the key may not run it. */
export async function queueRun(
  operations: Operations,
  known: KnownSync,
  priority: Priority,
  key: ApiKey | null,
): Promise<Job> {
  if (key !== null) await operations.askForRun(known, key)
  return await operations.service.trigger(known.sync.id, priority, { key })
}
