/** One target transaction at a time: rows go in page by page, and are committed with their checkpoint when the batch is full. */
import type { Checkpoint, Chunk, Cursor, Encoded, PutResult, SinkTransaction } from '../../connectors/connector.ts'
import { nothingPut } from '../../connectors/put-result.ts'
import { SyncError } from '../../core/error.ts'
import { isWhole, keyText } from '../../core/key-text.ts'
import { keyOf } from '../../core/mapping.ts'
import type { Rejection } from '../../core/sync.ts'
import type { Key, Row } from '../../core/value.ts'
import type { Tally } from '../observe/run-counts.ts'
import { type RefusedRow, refusedRow } from '../observe/step-events.ts'
import type { Sides } from './open.ts'

export class Batch implements AsyncDisposable {
  readonly #sides: Sides
  readonly #tally: Tally
  readonly #signal: AbortSignal
  #transaction: SinkTransaction | null = null
  #rows = 0
  #bytes = 0
  /** Rows refused and not yet held, by their key's text; starts with those of earlier runs. */
  readonly #rejected: Map<string, Rejection>
  /** Rejections of earlier runs that have not come up in this one. */
  readonly #unseen: Map<string, Rejection>
  /** To be written with the next commit. */
  #refused: Rejection[] = []
  #settled: Key[] = []
  /** Refused now and not before: told of when that is durable. */
  #news: RefusedRow[] = []
  #announced = false
  /** Rows refused in this run whose key can't be told. */
  #keyless = 0
  /** Counted when it is committed: a transaction that fails has written nothing. */
  #written = nothingWritten
  #inserted = 0

  constructor(sides: Sides, tally: Tally, signal: AbortSignal, earlier: readonly Rejection[]) {
    this.#sides = sides
    this.#tally = tally
    this.#signal = signal
    this.#rejected = new Map(earlier.map((rejection) => [keyText(rejection.key), rejection]))
    this.#unseen = new Map(this.#rejected)
  }

  get rejected(): readonly Rejection[] {
    return [...this.#rejected.values()]
  }

  /** Rows that this run has put into the target and that were not there before; before a commit, as far as the target knows. */
  get inserted(): number {
    return this.#inserted + this.#written.inserted
  }

  /** Rejected rows of earlier runs that this run has not met: they are tried again at its end. */
  get unseen(): readonly Rejection[] {
    return [...this.#unseen.values()]
  }

  /** Maps and writes source rows. Rows are valid only during the call. */
  async put(rows: readonly Row[], rejects: readonly Rejection[], bytes: number, fresh: boolean): Promise<void> {
    const mapped = this.#sides.mapping.map(rows)
    this.#tally.add({ read: rows.length + rejects.length, lossy: mapped.lossy })
    this.#bytes += bytes
    await this.putMapped(mapped.rows, [...rejects, ...mapped.rejects], fresh)
  }

  /** Puts rows again that this run has read and that were refused; `together`: their unique values stand in each other's way. */
  async putAgain(keys: readonly Key[], { rows, rejects }: Omit<Chunk, 'bytes'>, together: boolean): Promise<void> {
    for (const key of keys) {
      const rejection = this.#rejected.get(keyText(key))
      if (rejection !== undefined) this.#unseen.set(keyText(key), rejection)
    }
    const mapped = this.#sides.mapping.map(rows)
    const transaction = await this.#open()
    this.#announce()
    const { sync } = this.#sides.spec
    const result =
      together && transaction.putTogether !== undefined
        ? await transaction.putTogether(sync, mapped.rows)
        : await transaction.put(sync, mapped.rows, { fresh: false })
    this.#reject([...rejects, ...mapped.rejects, ...result.rejected])
    this.#count(result)
    await this.settle(keys)
    await this.commit(null)
  }

  /** Writes target rows. */
  async putMapped(rows: readonly Row[], rejects: readonly Rejection[], fresh: boolean): Promise<void> {
    const { mapping, spec } = this.#sides
    const transaction = await this.#open()
    if (rows.length > 0) this.#announce()
    const result: PutResult = rows.length === 0 ? nothingPut : await transaction.put(spec.sync, rows, { fresh })
    this.#reject([...rejects, ...result.rejected])
    if (this.#unseen.size > 0) await this.settle(rows.map((row) => keyOf(row, mapping.keyAtTarget, mapping.keyTypes)))
    this.#count(result)
    this.#rows += rows.length
  }

  /** Keeps rows as rejected that were found to be so after they were put. */
  async refuse(rejections: readonly Rejection[]): Promise<void> {
    if (rejections.length === 0) return
    await this.#open()
    this.#reject(rejections)
    await this.commit(null)
  }

  /** Passes rows through as the source encoded them. */
  async putEncoded(encoded: Encoded): Promise<void> {
    const { sync } = this.#sides.spec
    const transaction = await this.#open()
    if (transaction.putEncoded === undefined)
      throw new SyncError('INTERNAL', `the target of ${sync} takes no encoded rows`)
    this.#announce()
    const result = await transaction.putEncoded(sync, encoded)
    this.#reject(result.rejected)
    this.#tally.add({ read: encoded.rows })
    this.#count(result)
    this.#rows += encoded.rows
    this.#bytes += encoded.bytes.length
  }

  /** Forgets earlier rejections of these keys, unless they were refused again in this run. */
  async settle(keys: readonly Key[]): Promise<void> {
    const settled = keys.filter((key) => this.#unseen.delete(keyText(key)))
    if (settled.length === 0) return
    for (const key of settled) this.#rejected.delete(keyText(key))
    this.#settled.push(...settled)
    await this.#open()
  }

  /** Commits if the batch is full, or if the run is to stop: then INTERRUPTED is thrown after the commit. */
  async commitIfDue(cursor: Cursor | null): Promise<void> {
    const { rows, bytes } = this.#sides.sync.batch
    if (this.#signal.aborted) {
      await this.commit(cursor)
      throw new SyncError('INTERRUPTED', `sync ${this.#sides.sync.id} was interrupted; what it had read is committed`, {
        hint: 'Run again: it goes on from the last checkpoint.',
      })
    }
    if (this.#rows >= rows || this.#bytes >= bytes) await this.commit(cursor, { durable: false })
  }

  /** Makes rows and checkpoint durable in one transaction. A null cursor keeps the checkpoint as it is, unless the run is complete. */
  async commit(cursor: Cursor | null, { complete = false, durable = true } = {}): Promise<void> {
    const checkpoint: Checkpoint | null =
      cursor === null && !complete ? null : { cursor, fingerprint: this.#sides.fingerprint }
    if (this.#transaction === null && checkpoint === null) return
    const transaction = await this.#open()
    const late = await transaction.flush?.(this.#sides.spec.sync)
    if (late !== undefined) {
      this.#reject(late.rejected)
      this.#count(late)
    }
    if (this.#refused.length + this.#settled.length > 0)
      await transaction.reject(this.#sides.spec.sync, this.#refused.splice(0), this.#settled.splice(0))
    this.#tally.check()
    await transaction.checkpoint(this.#sides.spec.sync, checkpoint)
    await transaction.commit({ durable })
    this.#tally.add(this.#written)
    if (this.#announced) this.#tally.applied()
    this.#announced = false
    this.#tally.steps.refused(this.#news.splice(0))
    this.#inserted += this.#written.inserted
    this.#written = nothingWritten
    this.#transaction = null
    this.#rows = 0
    this.#bytes = 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transaction?.rollback()
    this.#transaction = null
  }

  async #open(): Promise<SinkTransaction> {
    this.#transaction ??= await this.#sides.sink.begin()
    return this.#transaction
  }

  #announce(): void {
    if (!this.#announced) this.#tally.applying()
    this.#announced = true
  }

  #count({ inserted, updated, unchanged }: PutResult): void {
    const { inserted: more, updated: changed, unchanged: same } = this.#written
    this.#written = { inserted: more + inserted, updated: changed + updated, unchanged: same + unchanged }
  }

  #reject(given: readonly Rejection[]): void {
    // Rows without a key are counted each: a number behind the parts that are known tells them apart. They are met again by every run.
    const rejections = given.map((one) => (isWhole(one.key) ? one : { ...one, key: [...one.key, ++this.#keyless] }))
    for (const rejection of rejections) {
      const refused = refusedRow(rejection)
      if (!this.#rejected.has(refused.key)) this.#news.push(refused)
      this.#rejected.set(refused.key, rejection)
      this.#unseen.delete(refused.key)
    }
    this.#refused.push(...rejections)
  }
}

const nothingWritten = { inserted: 0, updated: 0, unchanged: 0 }
