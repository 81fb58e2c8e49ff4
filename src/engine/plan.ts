/** What a run would change. Writes nothing. */
import type { PrintedKey } from '../core/run.ts'
import type { SchemaChange } from '../core/schema.ts'
import type { Sync, SyncId } from '../core/sync.ts'
import type { Value } from '../core/value.ts'
import type { Project } from './project.ts'

export interface Plan {
  readonly sync: SyncId
  readonly inserts: number
  readonly updates: number
  readonly deletes: number
  readonly schema: readonly SchemaChange[]
  /** How the next run would read the source, and why, in words. */
  readonly reading: string
  /** Whether the guard would hold the run. */
  readonly held: boolean
  readonly samples: readonly Sample[]
}

/** One row that would change; `fields` names what differs (for an insert: all, from null). */
export interface Sample {
  readonly key: PrintedKey
  readonly kind: 'insert' | 'update' | 'delete'
  readonly fields: Readonly<Record<string, { readonly from: Value; readonly to: Value }>>
}

export async function planSync(sync: Sync, project: Project): Promise<Plan> {
  throw new Error(`planSync is being written: ${sync.id} ${project.id}`)
}
