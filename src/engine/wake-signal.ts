/** Wakes a loop that waits. Rung while nobody waits, it ends the next wait at once. */
import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../connectors/connector.ts'

export class Bell {
  #rung = new AbortController()

  ring(): void {
    this.#rung.abort()
  }

  /** Waits `ms` at most: until it is rung or the signal is aborted. Does not throw. */
  async wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
    // Work on SQLite waits for nothing: without a turn of its own for everything else, no timer, request or signal would get through.
    await turn()
    const rung = this.#rung.signal
    if (ms > 0 && !rung.aborted && !signal.aborted)
      await clock.sleep(ms, AbortSignal.any([rung, signal])).catch(() => {})
    if (rung.aborted) this.#rung = new AbortController()
  }
}
