/** SQLite's own errors. */

const SQLITE_BUSY = 5

/** Whether another connection holds what this one needs. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === SQLITE_BUSY
}
