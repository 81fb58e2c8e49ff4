/**
 * Tells when the process stood still: while one thing kept the thread, no heartbeat went out, and no request was answered. What ran is
 * told by name, as it is what has to be bounded.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../../core/log.ts'

/** Stalls that are longer are told. */
export const STALL_MS = 1000
const LOOK_MS = 250
/** Names that one line tells at the most. */
const MOST_NAMES = 5

export interface StallWatchOptions {
  readonly log: Log
  /** What goes on now, by name. */
  readonly running: () => readonly string[]
}

export class StallWatch {
  readonly #options: StallWatchOptions
  /** What went on when it was looked last: what kept the thread began before. */
  #seen: readonly string[] = []
  #dueMs: number | null = null

  constructor(options: StallWatchOptions) {
    this.#options = options
  }

  /** To be called every LOOK_MS, with a clock that only goes on. */
  look(nowMs: number): void {
    const { log, running } = this.#options
    const now = running()
    const lateMs = this.#dueMs === null ? 0 : nowMs - this.#dueMs
    if (lateMs > STALL_MS) {
      const names = [...new Set([...this.#seen, ...now])]
      const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : ''
      const what = names.length === 0 ? 'nothing that has a name' : names.slice(0, MOST_NAMES).join(', ') + more
      log(`the process stood still for ${(lateMs / 1000).toFixed(1)} s; at that time it ran: ${what}`, 'warn')
    }
    this.#seen = now
    this.#dueMs = nowMs + LOOK_MS
  }

  /** Until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.look(performance.now())
      await sleep(LOOK_MS, undefined, { signal }).catch(() => {})
    }
  }
}
