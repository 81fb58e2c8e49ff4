/** How many of a worker's hands one project may have, so that what its callers made never keeps all of them. */
export class Shares {
  readonly #most: number
  readonly #taken = new Map<string, number>()

  /** `hands`: how many there are. */
  constructor(hands: number) {
    this.#most = Math.max(1, hands - 1)
  }

  /** A hand for the project, until it is disposed; null: it has its share. What is nobody's in particular may have all. */
  take(project: string | null): Disposable | null {
    if (project === null) return { [Symbol.dispose]: () => {} }
    const taken = this.#taken.get(project) ?? 0
    if (taken >= this.#most) return null
    this.#taken.set(project, taken + 1)
    return {
      [Symbol.dispose]: () => {
        const left = (this.#taken.get(project) ?? 1) - 1
        if (left === 0) this.#taken.delete(project)
        else this.#taken.set(project, left)
      },
    }
  }
}
