/** The clock of the machine. */
import { setTimeout as timer } from 'node:timers/promises'
import type { Clock } from '../connectors/connector.ts'

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    await timer(ms, undefined, { signal }).catch(() => signal.throwIfAborted())
  },
}
