/** What was found in a file by reading a whole table, kept for a handle until another connection has written to the file. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'

interface Known<Found> {
  /** Tells whether another connection has written: what this one writes does not count. */
  readonly version: StatementSync
  at: unknown
  readonly answers: Map<string, Found>
}

export interface Remembering<Found> {
  /** `question`: what tells this finding from others of the same handle. */
  readonly of: (database: DatabaseSync, question: string, find: () => Found) => Found
  /** The handle itself has written what may change an answer. */
  readonly forget: (database: DatabaseSync) => void
}

export function remembering<Found>(): Remembering<Found> {
  const handles = new WeakMap<DatabaseSync, Known<Found>>()
  const knownOf = (database: DatabaseSync): Known<Found> => {
    const known = handles.get(database) ?? {
      version: database.prepare('PRAGMA data_version'),
      at: null,
      answers: new Map<string, Found>(),
    }
    handles.set(database, known)
    const now = known.version.get()?.data_version
    if (now !== known.at) known.answers.clear()
    known.at = now
    return known
  }
  return {
    of: (database, question, find) => {
      const { answers } = knownOf(database)
      const known = answers.get(question)
      if (known !== undefined) return known
      const found = find()
      answers.set(question, found)
      return found
    },
    forget: (database) => handles.get(database)?.answers.clear(),
  }
}
