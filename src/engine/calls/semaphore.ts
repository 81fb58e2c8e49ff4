/** Lets so many through at the same time within this process, in the order in which they came. */
export class Gate {
  #most: number
  #inside = 0
  readonly #waiting: (() => void)[] = []

  constructor(most: number) {
    this.#most = most
  }

  get inside(): number {
    return this.#inside
  }

  get full(): boolean {
    return this.#inside >= this.#most
  }

  /** So many from now on; those who are inside stay. */
  allow(most: number): void {
    this.#most = most
    this.#admit()
  }

  /** Waits to be let in; then `leave` has to be called. Rejects when the signal is aborted first. */
  async enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (!this.full) {
      this.#inside++
      return
    }
    await new Promise<void>((resolve, reject) => {
      const next = () => {
        signal.removeEventListener('abort', giveUp)
        resolve()
      }
      const giveUp = () => {
        const at = this.#waiting.indexOf(next)
        if (at >= 0) this.#waiting.splice(at, 1)
        reject(signal.reason)
      }
      this.#waiting.push(next)
      signal.addEventListener('abort', giveUp, { once: true })
    })
  }

  leave(): void {
    this.#inside--
    this.#admit()
  }

  #admit(): void {
    while (!this.full) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#inside++
      next()
    }
  }
}
