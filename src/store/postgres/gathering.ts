/**
 * Work that is done together: what is asked for while a statement is under way goes into the next one, and so shares its way to the
 * server and its write to the disk. Measured with eight hands that end jobs: see bench/queue.bench.ts.
 */
interface Asked<Item, Result> {
  readonly item: Item
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

export class Gathering<Item, Result> {
  readonly #work: (items: readonly Item[]) => Promise<readonly Result[]>
  #asked: Asked<Item, Result>[] = []
  #working = false

  /** `work` returns one result per item, in their order; when it fails, nothing was done. */
  constructor(work: (items: readonly Item[]) => Promise<readonly Result[]>) {
    this.#work = work
  }

  async ask(item: Item): Promise<Result> {
    return await new Promise((resolve, reject) => {
      this.#asked.push({ item, resolve, reject })
      if (!this.#working) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#working = true
    while (this.#asked.length > 0) {
      // Those that end at the same moment go together.
      await new Promise((resolve) => setImmediate(resolve))
      const asked = this.#asked
      this.#asked = []
      await this.#answer(asked)
    }
    this.#working = false
  }

  /** What fails together is tried one by one: of many, one alone may be at fault. */
  async #answer(asked: readonly Asked<Item, Result>[]): Promise<void> {
    try {
      const results = await this.#work(asked.map(({ item }) => item))
      for (const [at, { resolve }] of asked.entries()) resolve(results[at] as Result)
    } catch (error) {
      if (asked.length === 1) asked[0]?.reject(error)
      else for (const one of asked) await this.#answer([one])
    }
  }
}
