/** Tells those who work on a store that there is something in its queue. What must be exact is in the queue itself (jobs.ts): this saves waiting. */
export interface Delivery {
  /** Something was put into the queue: one of those who wait hears of it. Messages that nobody has taken yet are one. Returns at once, never fails. */
  send(): void
  /**
   * Yields when it begins to hear, since there may have been something before, then for each message, until the signal is aborted. Who has
   * no hand free does not ask for the next: then others get it. Throws what keeps messages from coming at all.
   */
  receive(signal: AbortSignal): AsyncIterable<void>
}
