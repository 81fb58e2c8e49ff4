/**
 * A circuit breaker per connection: while nobody answers there, its jobs wait, and one of them tries now and then. Where processes share a
 * store they share the circuits: what one learned all know, and of all of them one tries.
 *
 * Circuits are looked at in the store once a second at most, whatever the number of jobs, and not at all while nothing is to be run. A job of
 * a connection that is not among them asks nothing else. Everything that is decided is decided in the store: who tries, who opens a circuit
 * and who closes it exchanges what it saw for what is to be, and that succeeds for one. So a view that is a second old lets a job begin that
 * could have waited, whose failure then counts for nothing more; and a success in the same second as a failure elsewhere may not undo it.
 */
import type { Circuit, CircuitState, CircuitStore } from '../../store/circuits.ts'

/** So many failures in a row open it. */
const FAILURES = 3
const FIRST_PAUSE_MS = 5_000
const LONGEST_PAUSE_MS = 300_000
const STALE_MS = 1000

/** Whether a job may use its connections. */
export type Admission =
  | { readonly kind: 'wait'; readonly untilMs: number }
  /** `tries`: those that are left alone, and which it tries now, with how often they had failed. */
  | { readonly kind: 'admitted'; readonly tries: Tries }

export type Tries = ReadonlyMap<string, number>

export class Breaker {
  readonly #circuits: CircuitStore
  #known: ReadonlyMap<string, CircuitState> = new Map()
  #knownAt = Number.NEGATIVE_INFINITY
  #looking: Promise<void> | null = null
  /** Of this process. */
  #changes = 0

  /** `circuits`: those of all processes. Default: this one is alone. */
  constructor(circuits: CircuitStore = new OwnCircuits()) {
    this.#circuits = circuits
  }

  /** From when on work with these connections may be tried. */
  async readyAt(connections: readonly string[], nowMs: number): Promise<number> {
    await this.#look(nowMs)
    return this.#readyAt(connections, nowMs)
  }

  /** Lets a job use its connections. Where they are left alone one at a time tries: as long as nothing is known of it, the others wait. */
  async enter(connections: readonly string[], nowMs: number): Promise<Admission> {
    await this.#look(nowMs)
    for (;;) {
      const untilMs = this.#readyAt(connections, nowMs)
      if (untilMs > nowMs) return { kind: 'wait', untilMs }
      const tries = await this.#try(connections, nowMs)
      if (tries !== null) return { kind: 'admitted', tries }
      await this.#lookAgain(nowMs)
    }
  }

  /**
   * Returns until when the connection is left alone; null: work with it goes on, or it is left alone already. `tries`: of the job's admission.
   * What began before the circuit opened and fails later says nothing new.
   */
  async failed(connection: string, tries: Tries, nowMs: number): Promise<number | null> {
    await this.#look(nowMs)
    for (;;) {
      const seen = this.#known.get(connection) ?? null
      if (isOpen(seen) && tries.get(connection) !== seen.failures) return null
      const failures = (seen?.failures ?? 0) + 1
      const next = { failures, openUntil: nowMs + (failures < FAILURES ? 0 : pauseMs(failures)) }
      if (await this.#replace(connection, seen, next)) return isOpen(next) ? next.openUntil : null
      await this.#lookAgain(nowMs)
    }
  }

  /** Returns whether it had been left alone; of several who succeed, one is told so. */
  async succeeded(connection: string, nowMs: number): Promise<boolean> {
    await this.#look(nowMs)
    for (;;) {
      const seen = this.#known.get(connection) ?? null
      if (seen === null) return false
      if (await this.#replace(connection, seen, null)) return isOpen(seen)
      await this.#lookAgain(nowMs)
    }
  }

  /** It is another now: it may be tried at once. One that is gone (`there` false) is forgotten. */
  async reconsider(connection: string, there: boolean, nowMs: number): Promise<void> {
    for (;;) {
      await this.#lookAgain(nowMs)
      const seen = this.#known.get(connection) ?? null
      if (seen === null || (there && !isOpen(seen))) return
      if (await this.#replace(connection, seen, there ? { failures: FAILURES, openUntil: nowMs } : null)) return
    }
  }

  #readyAt(connections: readonly string[], nowMs: number): number {
    return Math.max(
      0,
      ...connections.map((name) => {
        const seen = this.#known.get(name) ?? null
        // Later than any pause: a clock that was ahead wrote it.
        return isOpen(seen) && seen.openUntil <= nowMs + LONGEST_PAUSE_MS ? seen.openUntil : 0
      }),
    )
  }

  /** Takes the try of each that is left alone, or of none: null, somebody else has one. */
  async #try(connections: readonly string[], nowMs: number): Promise<Tries | null> {
    const tries = new Map<string, number>()
    const taken: (() => Promise<boolean>)[] = []
    for (const name of connections.toSorted()) {
      const seen = this.#known.get(name) ?? null
      if (!isOpen(seen)) continue
      const next = { ...seen, openUntil: nowMs + pauseMs(seen.failures) }
      if (!(await this.#replace(name, seen, next))) {
        for (const giveBack of taken) await giveBack()
        return null
      }
      tries.set(name, seen.failures)
      taken.push(() => this.#replace(name, next, seen))
    }
    return tries
  }

  async #replace(connection: string, seen: CircuitState | null, next: CircuitState | null): Promise<boolean> {
    if (!(await this.#circuits.replace(connection, seen, next))) return false
    this.#changes++
    const known = new Map(this.#known)
    if (next === null) known.delete(connection)
    else known.set(connection, next)
    this.#known = known
    return true
  }

  async #look(nowMs: number): Promise<void> {
    // Also when the clock was set back.
    if (Math.abs(nowMs - this.#knownAt) >= STALE_MS) await this.#lookAgain(nowMs)
  }

  /** Several who ask at once share an answer. */
  async #lookAgain(nowMs: number): Promise<void> {
    this.#looking ??= this.#read(nowMs).finally(() => {
      this.#looking = null
    })
    await this.#looking
  }

  /** What this process changes meanwhile may not be in the answer. */
  async #read(nowMs: number): Promise<void> {
    for (;;) {
      const changes = this.#changes
      const found = await this.#circuits.list()
      if (changes !== this.#changes) continue
      this.#known = new Map(found.map(({ connection, ...state }) => [connection, state]))
      this.#knownAt = nowMs
      return
    }
  }
}

/** Whether a connection is left alone, but for who tries. */
export function isOpen(circuit: CircuitState | null): circuit is CircuitState {
  return circuit !== null && circuit.failures >= FAILURES
}

/** Those of one process. */
class OwnCircuits implements CircuitStore {
  readonly #all = new Map<string, CircuitState>()

  async list(): Promise<readonly Circuit[]> {
    return [...this.#all].map(([connection, state]) => ({ connection, ...state }))
  }

  async replace(connection: string, seen: CircuitState | null, next: CircuitState | null): Promise<boolean> {
    const now = this.#all.get(connection) ?? null
    if (now?.failures !== seen?.failures || now?.openUntil !== seen?.openUntil) return false
    if (next === null) this.#all.delete(connection)
    else this.#all.set(connection, next)
    return true
  }
}

function pauseMs(failures: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - FAILURES))
}
