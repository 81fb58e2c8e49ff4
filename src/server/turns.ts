/**
 * Work that reads whole tables because somebody asked by the API: two at a time per project, the others wait in the order in which they
 * came. One caller's requests neither fill the memory nor keep other projects waiting.
 */
import { SyncError } from '../core/error.ts'
import { Gate } from '../engine/calls/semaphore.ts'

const AT_ONCE = 2
const WAITING = 16

export class Turns {
  readonly #gates = new Map<string | null, { readonly gate: Gate; holders: number }>()

  /** Resolves when it is this request's turn; disposing the result gives it to the next. RATE_LIMITED: too many wait already. */
  async take(project: string | null, signal: AbortSignal): Promise<Disposable> {
    const known = this.#gates.get(project) ?? { gate: new Gate(AT_ONCE), holders: 0 }
    if (known.holders >= AT_ONCE + WAITING)
      throw new SyncError('RATE_LIMITED', `${WAITING} requests like this one wait already`, {
        hint: 'Wait for the answers to those before; plan and verify of one project are made two at a time.',
      })
    this.#gates.set(project, known)
    known.holders++
    const leave = () => {
      if (--known.holders === 0) this.#gates.delete(project)
    }
    try {
      await known.gate.enter(signal)
    } catch (error) {
      leave()
      throw error
    }
    return {
      [Symbol.dispose]: () => {
        known.gate.leave()
        leave()
      },
    }
  }
}
