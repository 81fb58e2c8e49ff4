/** Exit codes: 0 fine, 1 a run failed or sides are not equal, 2 usage or configuration, 3 held by a guard. */
import type { SyncError } from '../../core/error.ts'
import type { RunRecord } from '../../core/run.ts'

export const exitCodes = { fine: 0, failed: 1, usage: 2, held: 3, interrupted: 130 } as const

/** Mistakes in the command or in the config: running it again changes nothing. */
const usageErrors: readonly string[] = [
  'USAGE_INVALID',
  'CONFIG_INVALID',
  'ENV_MISSING',
  'COLLECTION_UNKNOWN',
  'COLLECTION_UNREADABLE',
  'SYNC_UNKNOWN',
  'RUN_UNKNOWN',
  'JOB_UNKNOWN',
  'JOB_ENDED',
  'ROW_UNKNOWN',
  'CONFLICT_UNKNOWN',
  'CONFLICT_CLOSED',
  'KEY_MISSING',
  'TARGET_SHARED',
]

/** The code of several outcomes together: 2 before 1 before 3 before 0. */
export function worst(codes: readonly number[]): number {
  return [exitCodes.usage, exitCodes.failed, exitCodes.held].find((code) => codes.includes(code)) ?? exitCodes.fine
}

export function exitCodeOfError(error: SyncError): number {
  if (error.code === 'INTERRUPTED') return exitCodes.interrupted
  return usageErrors.includes(error.code) ? exitCodes.usage : exitCodes.failed
}

export function exitCodeOfRun(run: Pick<RunRecord, 'status' | 'error'>): number {
  if (run.status === 'held') return exitCodes.held
  if (run.status !== 'failed') return exitCodes.fine
  return usageErrors.includes(run.error?.code ?? '') ? exitCodes.usage : exitCodes.failed
}
