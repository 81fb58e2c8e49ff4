/** The one error type, and the table of its codes. */

/** What the worker does with an error: try again, stop, or wait for a person. */
export type Retry = 'retry' | 'never' | 'person'

/** Every code, what the worker does about it, and the HTTP status it becomes. */
export const errorCodes = {
  USAGE_INVALID: { retry: 'never', status: 400 },
  CONFIG_INVALID: { retry: 'never', status: 422 },
  ENV_MISSING: { retry: 'never', status: 422 },
  COLLECTION_UNKNOWN: { retry: 'never', status: 404 },
  COLLECTION_UNREADABLE: { retry: 'never', status: 422 },
  SYNC_UNKNOWN: { retry: 'never', status: 404 },
  SYNC_AMBIGUOUS: { retry: 'never', status: 409 },
  SYNC_USED: { retry: 'never', status: 409 },
  RUN_UNKNOWN: { retry: 'never', status: 404 },
  JOB_UNKNOWN: { retry: 'never', status: 404 },
  JOB_UNFINISHED: { retry: 'never', status: 500 },
  JOB_ENDED: { retry: 'never', status: 409 },
  KEY_MISSING: { retry: 'never', status: 422 },
  KEY_DUPLICATE: { retry: 'never', status: 409 },
  CURSOR_UNUSABLE: { retry: 'never', status: 422 },
  TARGET_NOT_OURS: { retry: 'never', status: 409 },
  TARGET_SHARED: { retry: 'never', status: 409 },
  SCHEMA_CHANGED: { retry: 'retry', status: 409 },
  SCHEMA_DRIFT: { retry: 'person', status: 409 },
  CONFLICT_UNKNOWN: { retry: 'never', status: 404 },
  CONFLICT_CLOSED: { retry: 'never', status: 409 },
  ROW_UNKNOWN: { retry: 'never', status: 404 },
  SIDE_REPLACED: { retry: 'person', status: 409 },
  STATE_OLDER: { retry: 'person', status: 409 },
  GUARD_HELD: { retry: 'person', status: 409 },
  ROWS_REJECTED: { retry: 'never', status: 422 },
  KEY_TAKEN: { retry: 'never', status: 422 },
  ROW_NOT_KEPT: { retry: 'never', status: 422 },
  ROW_NOT_DELETED: { retry: 'never', status: 422 },
  VALUE_REFUSED: { retry: 'never', status: 422 },
  VALUE_TAKEN: { retry: 'never', status: 409 },
  EXPRESSION_STOPPED: { retry: 'never', status: 422 },
  WORK_STOPPED: { retry: 'never', status: 422 },
  PARENT_MISSING: { retry: 'retry', status: 409 },
  ROW_REFERENCED: { retry: 'retry', status: 409 },
  DEPENDENTS_KEPT: { retry: 'retry', status: 409 },
  CONNECTION_REFUSED: { retry: 'retry', status: 502 },
  CONNECTION_LOST: { retry: 'retry', status: 502 },
  AUTH_FAILED: { retry: 'never', status: 502 },
  TLS_FAILED: { retry: 'never', status: 502 },
  DATABASE_UNKNOWN: { retry: 'never', status: 502 },
  ACTION_UNKNOWN: { retry: 'never', status: 404 },
  INTEGRATION_UNKNOWN: { retry: 'never', status: 404 },
  CONNECTION_UNKNOWN: { retry: 'never', status: 404 },
  CONNECTION_USED: { retry: 'never', status: 409 },
  BEFORE_FAILED: { retry: 'never', status: 502 },
  AFTER_FAILED: { retry: 'never', status: 502 },
  HANDLER_FAILED: { retry: 'never', status: 502 },
  TIMED_OUT: { retry: 'retry', status: 504 },
  UNAUTHENTICATED: { retry: 'never', status: 401 },
  KEY_UNKNOWN: { retry: 'never', status: 404 },
  WEBHOOK_UNKNOWN: { retry: 'never', status: 404 },
  ANSWER_SECRET: { retry: 'never', status: 409 },
  SERVER_STOPPING: { retry: 'retry', status: 503 },
  REQUEST_BUSY: { retry: 'retry', status: 409 },
  RATE_LIMITED: { retry: 'retry', status: 429 },
  FLOW_UNKNOWN: { retry: 'never', status: 404 },
  FLOW_BUSY: { retry: 'retry', status: 409 },
  FORBIDDEN: { retry: 'never', status: 403 },
  GRANT_MISSING: { retry: 'never', status: 403 },
  DATABASE_LOCKED: { retry: 'retry', status: 503 },
  DATABASE_REFUSED: { retry: 'never', status: 502 },
  DISK_FULL: { retry: 'never', status: 507 },
  VAULT_UNUSABLE: { retry: 'never', status: 500 },
  FILE_UNUSABLE: { retry: 'never', status: 422 },
  ADDRESS_IN_USE: { retry: 'never', status: 409 },
  PROJECT_LOCKED: { retry: 'never', status: 409 },
  LEASE_LOST: { retry: 'never', status: 409 },
  READ_ONLY: { retry: 'never', status: 405 },
  INTERRUPTED: { retry: 'never', status: 499 },
  INTERNAL: { retry: 'never', status: 500 },
} as const satisfies Record<string, { retry: Retry; status: number }>
export type ErrorCode = keyof typeof errorCodes

export interface ErrorDetails {
  /** What a person can do about it: a command to run, a line to change. */
  readonly hint?: string
  readonly cause?: unknown
}

/** A failure a person is told of: what failed, on what, and what to do. Never holds secrets or row values. */
export class SyncError extends Error {
  override readonly name = 'SyncError'
  readonly code: ErrorCode
  readonly hint: string | null

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.hint = details.hint ?? null
  }
}

/** Whether this is one of our codes: a failure that was kept has it as text. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCodes, code)
}

/** What went wrong first, where disposing of what was in use failed after it: that is a consequence. */
function firstOf(error: unknown): unknown {
  // By its name: before Node 24 the class is one that the compiler writes.
  return error instanceof Error && error.name === 'SuppressedError' && 'suppressed' in error
    ? firstOf(error.suppressed)
    : error
}

/** Whether trying again later may help. */
export function retriable(error: unknown): boolean {
  const first = firstOf(error)
  return first instanceof SyncError && errorCodes[first.code].retry === 'retry'
}

/** Whether it says more than that one value can't be had: the next row would fare the same, and cost as much. */
export function endsRun(error: unknown): boolean {
  return error instanceof SyncError && error.code === 'EXPRESSION_STOPPED'
}

/** Any thrown thing as a SyncError; one that is none of ours becomes INTERNAL. */
export function asSyncError(thrown: unknown): SyncError {
  const error = firstOf(thrown)
  if (error instanceof SyncError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new SyncError('INTERNAL', message, {
    cause: error,
    hint: 'This is a bug in Syncline or in a function of your config; the stack trace is in the log (SYNCLINE_DEBUG=1).',
  })
}

/** What a function of a connector threw; what is none of ours becomes HANDLER_FAILED. `what` says what it did. */
export function asHandlerError(thrown: unknown, what: string): SyncError {
  const error = firstOf(thrown)
  if (error instanceof SyncError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new SyncError('HANDLER_FAILED', `${what} failed: ${message}`, { cause: error })
}

/** Where it went wrong: of what nobody foresaw, and of what a connector's function threw. Null: the message says enough. */
export function stackOf(error: unknown): string | null {
  const known = asSyncError(error)
  if (known.code !== 'INTERNAL' && known.code !== 'HANDLER_FAILED') return null
  const cause = known.cause ?? known
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
}
