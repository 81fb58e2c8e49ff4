/** Proof that both sides are equal, by value over all mapped fields. */
import type { PrintedKey } from '../core/run.ts'
import type { Sync, SyncId } from '../core/sync.ts'
import type { Project } from './project.ts'

export interface Verification {
  readonly sync: SyncId
  readonly equal: boolean
  /** Rows the target should hold, and rows it holds. */
  readonly left: number
  readonly right: number
  readonly missing: number
  readonly extra: number
  readonly different: number
  /** At most 20 keys each. */
  readonly keys: { readonly missing: readonly PrintedKey[]; readonly extra: readonly PrintedKey[]; readonly different: readonly PrintedKey[] }
  /** Rows written or deleted by `--repair`; 0 without it. */
  readonly repaired: number
}

export interface VerifyOptions {
  readonly repair: boolean
  /** Rows compared so far, and how many there are if that is known. */
  readonly onProgress: (compared: number, total: number | null) => void
}

export async function verifySync(sync: Sync, project: Project, options: VerifyOptions): Promise<Verification> {
  throw new Error(`verifySync is being written: ${sync.id} ${project.id} ${options.repair}`)
}
