/**
 * The clock that processes which share a store go by: the store's own, so that a machine whose clock is wrong, or is set, takes no lease
 * away and puts nothing off. Between looks it goes on by a timer that nobody can set.
 */
import type { Clock } from '../connectors/connector.ts'
import { asSyncError } from '../core/error.ts'
import type { Log } from '../core/log.ts'
import { systemClock } from './clock.ts'

const LOOK_MS = 5_000
/** A machine whose clock is off by more is told, once. */
const TOLD_MS = 30_000

export class StoreClock implements Clock {
  readonly sleep = systemClock.sleep
  readonly #read: () => Promise<number>
  readonly #log: Log
  /** What the store's clock said, and the timer then; null: nobody has looked yet. */
  #known: { readonly atMs: number; readonly timerMs: number } | null = null
  #told = false

  /** `read`: milliseconds since 1970, by the store's clock. */
  constructor(read: () => Promise<number>, log: Log) {
    this.#read = read
    this.#log = log
  }

  now(): number {
    return this.#known === null
      ? systemClock.now()
      : Math.round(this.#known.atMs + performance.now() - this.#known.timerMs)
  }

  async look(): Promise<void> {
    const asked = performance.now()
    const atMs = await this.#read()
    const answered = performance.now()
    // The store looked at its clock somewhere in between.
    this.#known = { atMs, timerMs: (asked + answered) / 2 }
    const offMs = Math.abs(systemClock.now() - this.now())
    if (this.#told || offMs < TOLD_MS) return
    this.#told = true
    this.#log(`the clock of this machine is off by ${Math.round(offMs / 1000)} s; the store's counts`, 'warn')
  }

  /** Looks again and again, until the signal is aborted. */
  async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look().catch((error: unknown) =>
        this.#log(`asking the store for the time failed: ${asSyncError(error).message}`, 'warn'),
      )
      await this.sleep(LOOK_MS, signal).catch(() => {})
    }
  }
}
