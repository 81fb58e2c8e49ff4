/** Tells of a run's steps: batches, rows that were refused, conflicts, and changes of a schema. By batch, and of rows only the first. */
import { hashCell, hashedCell } from '../../core/base.ts'
import type { StepEvent } from '../../core/event.ts'
import { keyText } from '../../core/key-text.ts'
import type { Counts } from '../../core/run.ts'
import type { SyncId } from '../../core/sync-id.ts'
import type { SideName } from '../../core/two-way.ts'
import type { Key } from '../../core/value.ts'
import type { CommittedConflict, ConflictChange } from '../../store/pairs.ts'

/** So many refused rows, and so many conflicts, are told of per run: a source that is wrong throughout must not flood who listens. */
const MOST_TOLD = 100

export interface RefusedRow {
  /** Null: the one that a one-way sync writes. */
  readonly side: SideName | null
  readonly key: string
  readonly code: string
}

export class StepEvents {
  readonly #about: { readonly sync: SyncId; readonly run: string }
  readonly #tell: (event: StepEvent) => void
  #batch = 0
  #refused = 0
  #conflicts = 0
  #before: Counts | null = null

  constructor(sync: SyncId, run: string, tell: (event: StepEvent) => void) {
    this.#about = { sync, run }
    this.#tell = tell
  }

  /** `counts`: of the run before this batch. */
  applying(counts: Counts): void {
    this.#before = counts
    this.#tell({ event: 'batch.applying', ...this.#about, batch: ++this.#batch })
  }

  /** What was announced is durable together with its checkpoint or bases. */
  applied(counts: Counts): void {
    const before = this.#before
    if (before === null) return
    this.#before = null
    this.#tell({
      event: 'batch.applied',
      ...this.#about,
      batch: this.#batch,
      inserted: counts.inserted - before.inserted,
      updated: counts.updated - before.updated,
      deleted: counts.deleted - before.deleted,
    })
  }

  refused(rows: readonly RefusedRow[]): void {
    for (const { side, key, code } of rows) {
      if (++this.#refused > MOST_TOLD) return
      this.#tell({ event: 'row.rejected', ...this.#about, side, keyHash: digest(key), code })
    }
  }

  /** Conflicts as a commit left them: those put on record, and those that are over. */
  conflicts(changes: readonly ConflictChange[], committed: readonly CommittedConflict[]): void {
    changes.forEach(({ id: known, kind, fields }, at) => {
      const { id, status } = committed[at] ?? { id: known, status: 'open' }
      const over = status === 'resolved' || status === 'agreed'
      if (id === null || (known !== null && !over) || ++this.#conflicts > MOST_TOLD) return
      const conflict = String(id)
      if (known === null)
        this.#tell({ event: 'conflict.opened', ...this.#about, conflict, kind, fields: Object.keys(fields), status })
      if (over) this.#tell({ event: 'conflict.resolved', ...this.#about, conflict, status })
    })
  }

  /** `applied`: false when the sync is held because of it. */
  schema(changes: readonly string[], applied: boolean): void {
    this.#tell({ event: 'schema.changed', ...this.#about, changes, applied })
  }
}

export const noStepEvents = new StepEvents('', '', () => {})

export function refusedRow({ key, code }: { readonly key: Key; readonly code: string }): RefusedRow {
  return { side: null, key: keyText(key), code }
}

/** Tells keys apart without telling them: a key may be a person's address. */
function digest(key: string): string {
  return hashedCell(hashCell(key)).slice(1)
}
