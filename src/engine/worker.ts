/** Executes a sync under a lease, with retries, and keeps its history. The one place that retries. */
import type { RunRecord } from '../core/run.ts'
import type { Sync } from '../core/sync.ts'
import type { Project } from './project.ts'

/** Runs a sync to its end. Never throws for a failed run: the record says what happened. */
export async function runSync(sync: Sync, project: Project): Promise<RunRecord> {
  throw new Error(`runSync is being written: ${sync.id} ${project.id}`)
}

/** Forgets how far a sync has been read, so that its next run compares in full; with `drop` also drops the target table. */
export async function resetSync(sync: Sync, project: Project, options: { readonly drop: boolean }): Promise<void> {
  throw new Error(`resetSync is being written: ${sync.id} ${project.id} ${options.drop}`)
}
