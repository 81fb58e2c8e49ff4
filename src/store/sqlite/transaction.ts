/** Transactions on a state database. */
import type { DatabaseSync } from 'node:sqlite'

/** Runs `write` in a transaction of its own, that nobody else's writes come between. */
export function inTransaction<Result>(database: DatabaseSync, write: () => Result): Result {
  database.exec('begin immediate')
  try {
    const result = write()
    database.exec('commit')
    return result
  } catch (error) {
    if (database.isTransaction) database.exec('rollback')
    throw error
  }
}
