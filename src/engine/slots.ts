/** Projects to run syncs in, one run at a time each: what a connection holds open belongs to one run. Kept for the next run for a while. */
import type { Clock } from '../connectors/connector.ts'
import type { Project } from './project.ts'

/** A project that a slot owns. */
export type OwnedProject = Project & AsyncDisposable

/** Connections that nobody used for so long are closed. */
const IDLE_MS = 30_000

export interface Slot extends AsyncDisposable {
  readonly project: Project
}

export class Slots implements AsyncDisposable {
  readonly #make: (signal: AbortSignal | null) => OwnedProject
  readonly #clock: Clock
  readonly #free: { readonly project: OwnedProject; readonly used: AbortController }[] = []
  readonly #all = new Set<OwnedProject>()
  /** In use when projects were to be made anew. */
  readonly #stale = new WeakSet<OwnedProject>()
  #closed = false

  /** `make`: for run after run, or with the signal of the one run that it is for. */
  constructor(make: (signal: AbortSignal | null) => OwnedProject, clock: Clock) {
    this.#make = make
    this.#clock = clock
  }

  /** Disposing the slot gives it back. `lasting`: its project is one that was used before, or will be again. */
  take(signal: AbortSignal, lasting: boolean): Slot {
    const free = lasting ? this.#free.pop() : undefined
    free?.used.abort()
    const project = free?.project ?? this.#make(lasting ? null : signal)
    this.#all.add(project)
    return { project, [Symbol.asyncDispose]: () => (lasting ? this.#giveBack(project) : this.#close(project)) }
  }

  /** Later runs get projects made anew. */
  async renew(): Promise<void> {
    for (const project of this.#all) this.#stale.add(project)
    for (const { project, used } of this.#free.splice(0)) {
      used.abort()
      await this.#close(project)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    for (const { used } of this.#free) used.abort()
    for (const project of [...this.#all]) await this.#close(project)
  }

  async #giveBack(project: OwnedProject): Promise<void> {
    if (this.#closed || this.#stale.has(project)) return await this.#close(project)
    const free = { project, used: new AbortController() }
    this.#free.push(free)
    this.#clock.sleep(IDLE_MS, free.used.signal).then(
      async () => {
        const at = this.#free.indexOf(free)
        if (at >= 0) this.#free.splice(at, 1)
        await this.#close(project)
      },
      () => {},
    )
  }

  async #close(project: OwnedProject): Promise<void> {
    if (this.#all.delete(project)) await project[Symbol.asyncDispose]()
  }
}
