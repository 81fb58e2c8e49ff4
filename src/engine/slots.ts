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
  readonly #make: () => OwnedProject
  readonly #clock: Clock
  readonly #free: { readonly project: OwnedProject; readonly used: AbortController }[] = []
  readonly #all = new Set<OwnedProject>()
  #closed = false

  constructor(make: () => OwnedProject, clock: Clock) {
    this.#make = make
    this.#clock = clock
  }

  /** Disposing the slot gives it back. */
  take(): Slot {
    const free = this.#free.pop()
    free?.used.abort()
    const project = free?.project ?? this.#make()
    this.#all.add(project)
    return { project, [Symbol.asyncDispose]: async () => await this.#giveBack(project) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    for (const { used } of this.#free) used.abort()
    for (const project of [...this.#all]) await this.#close(project)
  }

  async #giveBack(project: OwnedProject): Promise<void> {
    if (this.#closed) return await this.#close(project)
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
