/** Work that must not overlap within this process, by name: in the order in which it was asked for. */
export class Mutex {
  readonly #last = new Map<string, Promise<void>>()

  /** Waits until all these names are free, and holds them until it is disposed. */
  async hold(names: readonly string[]): Promise<Disposable> {
    let free = () => {}
    const done = new Promise<void>((resolve) => {
      free = resolve
    })
    // All at once, so that two who ask for the same names in another order don't wait for each other.
    const before = names.map((name) => this.#last.get(name))
    for (const name of names) this.#last.set(name, done)
    await Promise.all(before)
    return {
      [Symbol.dispose]: () => {
        for (const name of names) if (this.#last.get(name) === done) this.#last.delete(name)
        free()
      },
    }
  }
}
