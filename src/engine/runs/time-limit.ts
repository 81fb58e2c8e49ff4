/**
 * How long a run may take. When its time is up its signal is aborted; what does not heed that is not waited for longer than a while: the
 * run is over without it, and what it does later counts no more.
 */
import type { Clock } from '../../connectors/connector.ts'
import { SyncError } from '../../core/error.ts'
import type { SyncId } from '../../core/sync-id.ts'

/** What was aborted has so long to finish its batch; after a time limit that is shorter, as long as that. */
export const GRACE_MS = 10_000

export class TimeLimit implements Disposable {
  /** Aborted when the time is up, or with the signal that was given. */
  readonly signal: AbortSignal
  readonly #sync: SyncId
  readonly #ms: number | null
  readonly #clock: Clock
  readonly #up = new AbortController()
  readonly #over = new AbortController()
  #abandoned = false

  /** `ms`: null, as long as it takes. */
  constructor(sync: SyncId, ms: number | null, signal: AbortSignal, clock: Clock) {
    this.#sync = sync
    this.#ms = ms
    this.#clock = clock
    this.signal = AbortSignal.any([signal, this.#up.signal])
    if (ms === null) return
    clock.sleep(ms, AbortSignal.any([signal, this.#over.signal])).then(
      () => this.#up.abort(this.error()),
      () => {},
    )
  }

  /** Whether the time was up, and not only the signal aborted. */
  get passed(): boolean {
    return this.#up.signal.aborted
  }

  /** Whether the work is no longer waited for. */
  get abandoned(): boolean {
    return this.#abandoned
  }

  /** What the work came to; what `instead` says, when it did not end in time. */
  async keep<Result>(work: Promise<Result>, instead: () => Result): Promise<Result> {
    work.catch(() => {})
    const ended = new AbortController()
    const late = this.#late(ended.signal).then(() => {
      this.#abandoned = true
      return instead()
    })
    late.catch(() => {})
    try {
      return await Promise.race([work, late])
    } finally {
      ended.abort()
    }
  }

  error(): SyncError {
    return new SyncError(
      'TIMED_OUT',
      `the run of sync ${this.#sync} took longer than its \`timeout\` and was stopped`,
      {
        hint: 'What it did stays done. Give it more time, or see what it waits for.',
      },
    )
  }

  [Symbol.dispose](): void {
    this.#over.abort()
  }

  /** Resolves a while after the signal was aborted; rejects when the work has ended before. */
  async #late(ended: AbortSignal): Promise<void> {
    const { signal } = this
    if (!signal.aborted) {
      await new Promise<void>((resolve, reject) => {
        signal.addEventListener('abort', () => resolve(), { once: true, signal: ended })
        ended.addEventListener('abort', () => reject(ended.reason), { once: true })
      })
    }
    await this.#clock.sleep(this.passed ? Math.min(GRACE_MS, this.#ms ?? GRACE_MS) : GRACE_MS, ended)
  }
}
