/** SQLite's errors of a project's state, in our words. What is not among them stays as it is: a mistake of ours. */
import type { DatabaseSync } from 'node:sqlite'
import { type ErrorCode, SyncError } from '../../core/error.ts'

interface Meaning {
  readonly code: ErrorCode
  readonly hint: string
}

const full: Meaning = {
  code: 'DISK_FULL',
  hint: 'Free some space there and where temporary files go (SQLITE_TMPDIR, /tmp), and run again: what is in the state stays, and syncs go on from there.',
}
const unwritable: Meaning = {
  code: 'FILE_UNUSABLE',
  hint: 'Check that this user may write the file and its folder: it holds the history and the project’s id.',
}
const damaged: Meaning = {
  code: 'FILE_UNUSABLE',
  hint: 'It holds the history and the project’s id; a damaged one can be restored from a backup.',
}
const busy: Meaning = {
  code: 'DATABASE_LOCKED',
  hint: 'Another process is in the middle of writing it: wait, or close a program that has it open.',
}

const FULL = 13
const IO = 10
/** I/O errors of writes, syncs, truncations and the shared memory of the WAL: on a full disk SQLite says these. */
const UNWRITTEN = [778, 1034, 1290, 1546, 4874]

/** By SQLite's primary result code. */
const meanings: Readonly<Record<number, Meaning>> = {
  5: busy,
  6: busy,
  8: unwritable,
  [IO]: damaged,
  11: damaged,
  [FULL]: full,
  14: unwritable,
  26: damaged,
}

/** Runs `work` on a state; an error of SQLite that is no mistake of ours tells what to do. */
export function attempt<T>(database: DatabaseSync, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw codeOf(error) === 0 ? error : translate(error, database.location() ?? 'the state')
  }
}

/** SQLite's error as ours; anything else unchanged. */
export function translate(error: unknown, path: string): unknown {
  const code = codeOf(error)
  const meaning = UNWRITTEN.includes(code) ? full : meanings[code & 0xff]
  if (meaning === undefined || !(error instanceof Error)) return error
  return new SyncError(meaning.code, `${path}: ${error.message} (SQLite ${code})`, { hint: meaning.hint, cause: error })
}

/** Whether another connection holds what this one needs. */
export function isBusy(error: unknown): boolean {
  return (codeOf(error) & 0xff) === 5
}

/** SQLite's extended result code, and its own for a full disk that the system told; 0: it is no error of SQLite. */
function codeOf(error: unknown): number {
  if (!(error instanceof Error)) return 0
  if ('code' in error && error.code === 'ENOSPC') return FULL
  return 'errcode' in error ? Number(error.errcode) : 0
}
