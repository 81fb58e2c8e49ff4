/** Listeners of events: each gets every event, in order; one that throws does not disturb the others. */
import type { EngineEvent } from '../../core/event.ts'
import type { Log } from '../../core/log.ts'

export type Listener = (event: EngineEvent) => void
/** What may be forbidden. */
export type Starting = Extract<EngineEvent, { event: 'sync.starting' | 'action.starting' }>
/** Is asked before a run or an action begins. A text is the reason why it may not. */
export type Guardian = (event: Starting) => Promise<string | undefined> | string | undefined

export class Events {
  readonly #listeners = new Set<Listener>()
  readonly #guardians = new Set<Guardian>()
  readonly #log: Log

  /** `log` is told of listeners that throw. */
  constructor(log: Log) {
    this.#log = log
  }

  /** Returns what ends the subscription. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Returns what ends the guardian's duty. */
  guard(guardian: Guardian): () => void {
    this.#guardians.add(guardian)
    return () => this.#guardians.delete(guardian)
  }

  emit(event: EngineEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event)
      } catch (error) {
        this.#log(
          `a listener of ${event.event} failed: ${error instanceof Error ? error.message : String(error)}`,
          'error',
        )
      }
    }
  }

  /** Null: it may begin. A guardian that throws forbids it. */
  async vetoOf(event: Starting): Promise<string | null> {
    this.emit(event)
    for (const guardian of this.#guardians) {
      try {
        const reason = await guardian(event)
        if (reason !== undefined) return reason
      } catch (error) {
        return error instanceof Error ? error.message : String(error)
      }
    }
    return null
  }
}
