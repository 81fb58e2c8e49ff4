/** A clock that tests move: nothing waits for real. */
import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../connectors/connector.ts'

interface Sleeper {
  readonly untilMs: number
  readonly wake: () => void
}

export class ManualClock implements Clock {
  #now: number
  readonly #sleepers = new Set<Sleeper>()

  constructor(nowMs: number) {
    this.#now = nowMs
  }

  now(): number {
    return this.#now
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const sleeper = { untilMs: this.#now + Math.ceil(ms), wake: () => finish(resolve) }
      const abort = () => finish(() => reject(signal.reason))
      const finish = (then: () => void) => {
        this.#sleepers.delete(sleeper)
        signal.removeEventListener('abort', abort)
        then()
      }
      this.#sleepers.add(sleeper)
      signal.addEventListener('abort', abort)
    })
  }

  /** Lets time pass, wakes who waited for it in the order of their instants, and lets each go on as far as it comes. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#now + Math.ceil(ms)
    await settle()
    for (;;) {
      const next = [...this.#sleepers].toSorted((a, b) => a.untilMs - b.untilMs)[0]
      if (next === undefined || next.untilMs > untilMs) break
      this.#now = Math.max(this.#now, next.untilMs)
      next.wake()
      await settle()
    }
    this.#now = untilMs
    await settle()
  }

  /** Sets it, also back; who waits is not woken by it. */
  set(nowMs: number): void {
    this.#now = nowMs
  }
}

/** Everything that waits for nothing but other promises has gone on. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 3; round++) await turn()
}
