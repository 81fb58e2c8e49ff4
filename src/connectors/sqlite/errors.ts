/** SQLite's errors in our words, by the code of SQLite. INTERNAL is left to our own mistakes. */
import { type ErrorCode, SyncError } from '../../core/error.ts'

interface Meaning {
  readonly code: ErrorCode
  /** What happened to the file, before SQLite's own words. */
  readonly says: string
  readonly hint: string
  /** It may be about one row only: then the others of the batch go in. */
  readonly row?: true
}

const refused: Meaning = {
  code: 'DATABASE_REFUSED',
  says: 'SQLite refused a statement on',
  hint: 'Look the code up at https://sqlite.org/rescode.html, and see whether a trigger or view of the file is broken.',
}
const ofRow: Meaning = {
  code: 'VALUE_REFUSED',
  says: 'SQLite refused a row of',
  hint: 'Mend the row at the source, or change what refuses it: a constraint, a type or a trigger of the table.',
  row: true,
}
const locked: Meaning = {
  code: 'DATABASE_LOCKED',
  says: 'another process locks the SQLite file',
  hint: 'Close the program that holds a transaction open, or raise busyTimeoutMs of the connection.',
}
const unusable: Meaning = {
  code: 'FILE_UNUSABLE',
  says: "can't open or write the SQLite file",
  hint: 'Check that the folder exists and that this user may write there: who only reads a file in WAL mode has to, too.',
}
const full: Meaning = {
  code: 'DISK_FULL',
  says: "can't write the SQLite file",
  hint: 'Free some space and run again: the sync goes on where it stopped.',
}
/** Where the system refused anything but a write, space is not what is missing. */
const failing: Meaning = {
  code: 'FILE_UNUSABLE',
  says: "can't use the SQLite file",
  hint: 'The disk, the network share or the file itself fails: the log of the system says more.',
}
const closedFolder: Meaning = {
  code: 'FILE_UNUSABLE',
  says: "can't read the SQLite file without writing beside it",
  hint: 'It is in WAL mode, or holds a transaction that was broken off: who only reads it has to write its -wal, -shm or -journal file, too. Make the file and its folder writable for this user, or have its application close it after PRAGMA journal_mode = DELETE, or sync from a copy (VACUUM INTO).',
}
const damaged: Meaning = {
  code: 'FILE_UNUSABLE',
  says: 'this is no healthy SQLite database:',
  hint: 'Check the path; `sqlite3 FILE "pragma integrity_check"` says more.',
}
const ours: Meaning = {
  code: 'INTERNAL',
  says: 'SQLite was used wrongly on',
  hint: 'This is a bug in Syncline; the stack trace is in the log (SYNCLINE_DEBUG=1).',
}

/** By SQLite's primary result code; all that there are. */
export const codes: Readonly<Record<number, Meaning>> = {
  1: refused,
  2: refused,
  3: unusable,
  4: { ...locked, says: 'another statement ended what was done on' },
  5: locked,
  6: locked,
  7: {
    ...refused,
    says: 'there was too little memory to use',
    hint: 'Give the process more memory, or sync less at a time.',
  },
  8: { ...unusable, says: "can't write the SQLite file" },
  9: {
    code: 'INTERRUPTED',
    says: 'a statement was stopped on',
    hint: 'Run again: it goes on from the last checkpoint.',
  },
  10: failing,
  11: damaged,
  12: refused,
  13: full,
  14: unusable,
  15: locked,
  16: refused,
  17: {
    code: 'SCHEMA_CHANGED',
    says: 'a table changed while it was used in',
    hint: 'The run is tried again with the new schema.',
  },
  18: ofRow,
  19: ofRow,
  20: ofRow,
  21: ours,
  22: unusable,
  23: { ...refused, code: 'GRANT_MISSING' },
  24: damaged,
  25: ours,
  26: damaged,
  27: refused,
  28: refused,
}

/** By SQLite's extended result code, where that says something else than its primary one. */
const extended: Readonly<Record<number, Meaning>> = {
  // Writes, syncs, truncations and the shared memory of the WAL: on a full disk SQLite says these.
  778: full,
  1034: full,
  1290: full,
  1546: full,
  4874: full,
  264: closedFolder,
  520: closedFolder,
  776: closedFolder,
  1288: closedFolder,
  1544: closedFolder,
}

/** Runs `work`; an error of SQLite becomes a SyncError that names the file and what to do. */
export function attempt<T>(file: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw translate(error, file)
  }
}

/** The same of asynchronous work. */
export async function attemptAsync<T>(file: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw translate(error, file)
  }
}

/** The same of what is read piece by piece. */
export async function* attemptEach<T>(file: string, pieces: () => AsyncIterable<T>): AsyncIterable<T> {
  try {
    yield* pieces()
  } catch (error) {
    throw translate(error, file)
  }
}

/** SQLite's error as ours; anything else unchanged. */
export function translate(error: unknown, file: string): unknown {
  if (!isSqliteError(error)) return error
  const gone = /^no such (table|column)/.test(error.message)
  const meaning = extended[error.errcode] ?? codes[gone ? SCHEMA : error.errcode & 0xff] ?? refused
  const message = `${meaning.says} ${file}: ${error.message} (SQLite ${error.errcode})`
  return new SyncError(meaning.code, message, { hint: meaning.hint, cause: error })
}

const SCHEMA = 17

export interface SqliteError extends Error {
  /** Extended: its low byte is the primary code. */
  readonly errcode: number
}

export function isSqliteError(error: unknown): error is SqliteError {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number'
}

/** SQLite's own error, as it came or behind ours. */
export function sqliteError(error: unknown): SqliteError | null {
  const own = error instanceof SyncError ? error.cause : error
  return isSqliteError(own) ? own : null
}

/** What SQLite says where a reference is in the way; null: it is something else. */
export function referenceRefusal(error: unknown): string | null {
  const message = sqliteError(error)?.message ?? ''
  return message.startsWith('FOREIGN KEY constraint failed') ? message : null
}

/** Whether another row has its values. */
export function isUniqueError(error: unknown): boolean {
  return sqliteError(error)?.message.startsWith('UNIQUE constraint failed') === true
}

/** Whether the error is about one row's values, not about the database. */
export function isRowError(error: unknown): boolean {
  if (error instanceof SyncError) return error.code === 'VALUE_REFUSED'
  return isSqliteError(error) && codes[error.errcode & 0xff]?.row === true
}
