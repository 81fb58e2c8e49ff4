/** The clock of the machine. */
import { setTimeout as timer } from 'node:timers/promises'
import type { Clock } from '../connectors/connector.ts'

/** A timer that is set for longer goes off at once. */
const LONGEST_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    let left = ms
    do {
      await timer(Math.min(left, LONGEST_MS), undefined, { signal }).catch(() => signal.throwIfAborted())
      left -= LONGEST_MS
    } while (left > 0)
  },
}
