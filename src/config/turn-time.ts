/** How long work takes that nothing can interrupt: while it lasts, leases are not renewed and nobody is answered. */
export class TurnTime {
  readonly limitMs: number
  #spentMs = 0
  #ending = false

  constructor(limitMs: number) {
    this.limitMs = limitMs
  }

  /** False: with this, the turn of the event loop that is going on has taken more than the limit. */
  add(ms: number): boolean {
    if (!this.#ending) setImmediate(() => this.#end())
    this.#ending = true
    this.#spentMs += ms
    return this.#spentMs <= this.limitMs
  }

  #end(): void {
    this.#ending = false
    this.#spentMs = 0
  }
}
