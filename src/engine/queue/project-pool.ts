/** Projects to run syncs in, one run at a time each: what a connection holds open belongs to one run. Kept for the next run for a while. */
import type { Clock } from '../../connectors/connector.ts'
import type { Project } from '../project.ts'

/** A project that a slot owns. */
export type OwnedProject = Project & AsyncDisposable

/** Connections that nobody used for so long are closed. */
const IDLE_MS = 30_000

export interface Slot extends AsyncDisposable {
  readonly project: Project
  /** Whoever used it goes on using it: it is closed, without waiting for that. */
  abandon(): void
}

export class Slots implements AsyncDisposable {
  readonly #make: (signal: AbortSignal) => OwnedProject
  readonly #clock: Clock
  readonly #free: { readonly project: OwnedProject; readonly used: AbortController }[] = []
  readonly #all = new Set<OwnedProject>()
  /** What opened connections of a project may wait for is ended with this. */
  readonly #stops = new WeakMap<OwnedProject, AbortController>()
  /** In use when projects were to be made anew, or by a run that was stopped. */
  readonly #stale = new WeakSet<OwnedProject>()
  #closed = false

  /** `make` gets the signal that ends with a run that is stopped; its project is used by no other then. */
  constructor(make: (signal: AbortSignal) => OwnedProject, clock: Clock) {
    this.#make = make
    this.#clock = clock
  }

  /** Disposing the slot gives it back. `lasting`: its project is one that was used before, or will be again. */
  take(signal: AbortSignal, lasting: boolean): Slot {
    const free = lasting ? this.#free.pop() : undefined
    free?.used.abort()
    const project = free?.project ?? this.#new()
    this.#all.add(project)
    const stop = () => {
      this.#stale.add(project)
      this.#stops.get(project)?.abort(signal.reason)
    }
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop)
    let waits = true
    return {
      project,
      abandon: () => {
        waits = false
      },
      [Symbol.asyncDispose]: async () => {
        signal.removeEventListener('abort', stop)
        const given = lasting ? this.#giveBack(project) : this.#close(project)
        if (waits) await given
        else given.catch(() => {})
      },
    }
  }

  /** Later runs get projects made anew. */
  async renew(): Promise<void> {
    for (const project of this.#all) this.#stale.add(project)
    for (const { project, used } of this.#free.splice(0)) {
      used.abort()
      await this.#close(project)
    }
  }

  /** Does not wait for projects in use. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    const free = this.#free.splice(0)
    for (const { used } of free) used.abort()
    for (const { project } of free) await this.#close(project)
    // What is still in use was stopped and did not end: nor may its connections.
    for (const project of [...this.#all]) this.#close(project).catch(() => {})
  }

  #new(): OwnedProject {
    const stop = new AbortController()
    const project = this.#make(stop.signal)
    this.#stops.set(project, stop)
    return project
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
