/** Work that must not overlap within this process, by name: in the order in which it was asked for, as long as nobody gives up and asks again. */
export class Mutex {
  readonly #last = new Map<string, Promise<void>>()

  /** Waits until all these names are free, and holds them until it is disposed. Null: `signal` was aborted before. */
  async hold(names: readonly string[], signal: AbortSignal = never): Promise<Disposable | null> {
    let free = () => {}
    const done = new Promise<void>((resolve) => {
      free = resolve
    })
    // All at once, so that two who ask for the same names in another order don't wait for each other.
    const before = Promise.all(names.map((name) => this.#last.get(name)))
    for (const name of names) this.#last.set(name, done)
    const leave = () => {
      for (const name of names) if (this.#last.get(name) === done) this.#last.delete(name)
      free()
    }
    if (await isBefore(before, signal)) return { [Symbol.dispose]: leave }
    // Those behind one that gave up still wait for those before it.
    void before.then(leave)
    return null
  }
}

const never = new AbortController().signal

/** Whether something is done before a signal is aborted. */
async function isBefore(done: Promise<unknown>, signal: AbortSignal): Promise<boolean> {
  const aborted = Promise.withResolvers<false>()
  const abort = () => aborted.resolve(false)
  signal.addEventListener('abort', abort)
  if (signal.aborted) abort()
  try {
    return await Promise.race([done.then(() => true), aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
