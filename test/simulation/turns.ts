/** Strands of work of which one goes on at a time, as chance has it. A strand gives its turn away wherever it says so. */
import type { Random } from '../oracle/random.ts'

export class Turns {
  readonly #random: Random
  /** How to let each strand go on that waits for its turn. */
  readonly #waiting: (() => void)[] = []

  /** How often a turn was asked to be given. */
  #given = 0

  constructor(random: Random) {
    this.#random = random
  }

  /** Gives the turn to any strand, maybe the same again. To be called by the one that has it. Returns whether others went on. */
  async pass(): Promise<boolean> {
    if (this.#waiting.length === 0) return false
    const before = ++this.#given
    const turn = this.#wait()
    this.#next()
    await turn
    return this.#given > before
  }

  /** Another strand, which gets its first turn when some strand passes its own on or ends. */
  async start<T>(work: () => Promise<T>): Promise<T> {
    await this.#wait()
    try {
      return await work()
    } finally {
      this.#next()
    }
  }

  /** Lets the first strand go on, where none has its turn yet. */
  begin(): void {
    this.#next()
  }

  #wait(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    return promise
  }

  #next(): void {
    const [go] = this.#waiting.splice(this.#random.between(0, this.#waiting.length - 1), 1)
    go?.()
  }
}
