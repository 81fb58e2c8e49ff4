/**
 * A row may end the transaction that it is written in: by a trigger that says RAISE(ROLLBACK), or a table behind a trigger whose
 * constraint says ON CONFLICT ROLLBACK. What was written before it is gone then, and what came after would be committed row by row.
 */
import type { DatabaseSync } from 'node:sqlite'
import { SyncError } from '../../core/error.ts'
import type { Rejection } from '../../core/sync.ts'
import type { SyncId } from '../../core/sync-id.ts'
import type { Row } from '../../core/value.ts'
import type { PutResult, SinkTransaction } from '../connector.ts'
import { addPuts, nothingPut } from '../put-result.ts'

/** The transaction is gone, and this row ended it. */
export class RolledBack extends SyncError {
  readonly row: Row
  readonly refusal: Rejection

  constructor(row: Row, refusal: Rejection) {
    super('VALUE_REFUSED', `the table rolled back the transaction for one row: ${refusal.message}`, {
      hint: 'Let the trigger say RAISE(ABORT, …), which refuses the row alone.',
    })
    this.row = row
    this.refusal = refusal
  }
}

/** Whether anything in the file can end a transaction. */
export function mayRollBack(database: DatabaseSync): boolean {
  const found = "SELECT 1 FROM sqlite_schema WHERE type IN ('table', 'trigger') AND sql LIKE '%ROLLBACK%' LIMIT 1"
  return database.prepare(found).get() !== undefined
}

interface Step {
  readonly work: () => Promise<Refusing>
  /** How many rows it refused. */
  readonly refused: number
}

interface Refusing {
  readonly rejected: readonly Rejection[]
}

/**
 * The same transaction, which a row that ends it does not take along: what was done before is done again and committed under the
 * fence, the row is a rejected one, and the rest goes on in a transaction of its own. Rows that are committed before their checkpoint
 * are only read once more if the run ends there. `begin` begins the transaction anew.
 */
export function restartable(plain: SinkTransaction, begin: () => void): SinkTransaction {
  /** Since the last commit. */
  let steps: Step[] = []
  const done = async <Result extends Refusing>(work: () => Promise<Result>): Promise<Result> => {
    const result = await work()
    steps.push({ work, refused: result.rejected.length })
    return result
  }
  const restart = async (sync: SyncId) => {
    begin()
    for (const { work, refused } of steps) if ((await work()).rejected.length !== refused) throw changedMeanwhile(sync)
    await plain.checkpoint(sync, null)
    await plain.commit()
    begin()
    steps = []
  }
  const put = async (sync: SyncId, row: Row, fresh: boolean): Promise<PutResult> => {
    try {
      return await done(() => plain.put(sync, [row], { fresh }))
    } catch (error) {
      if (!(error instanceof RolledBack)) throw error
      await restart(sync)
      return { ...nothingPut, rejected: [error.refusal] }
    }
  }
  const putTogether = async (sync: SyncId, rows: readonly Row[]): Promise<PutResult> => {
    try {
      return await done(async () => (await plain.putTogether?.(sync, rows)) ?? nothingPut)
    } catch (error) {
      if (!(error instanceof RolledBack)) throw error
      await restart(sync)
      const others = rows.filter((row) => row !== error.row)
      return addPuts({ ...nothingPut, rejected: [error.refusal] }, await putTogether(sync, others))
    }
  }
  const remembered = async (work: () => Promise<void>) => {
    await done(async () => {
      await work()
      return nothingPut
    })
  }
  return {
    ...plain,
    put: async (sync, rows, { fresh }) => {
      let total = nothingPut
      for (const row of rows) total = addPuts(total, await put(sync, copyOf(row), fresh))
      return total
    },
    putTogether: (sync, rows) => putTogether(sync, rows.map(copyOf)),
    delete: (sync, keys) => done(() => plain.delete(sync, keys)),
    reject: (sync, rejected, settled) => remembered(() => plain.reject(sync, rejected, settled)),
    checkpoint: (sync, checkpoint) => remembered(() => plain.checkpoint(sync, checkpoint)),
  }
}

/** Rows that are given are only valid during the call. */
function copyOf(row: Row): Row {
  return row.map((value) => (value instanceof Uint8Array ? value.slice() : value))
}

function changedMeanwhile(sync: SyncId): SyncError {
  return new SyncError(
    'DATABASE_LOCKED',
    `another program wrote to the target of ${sync} while a batch was done again`,
    {
      hint: 'Nothing is lost: the run is tried again from its last checkpoint.',
    },
  )
}
