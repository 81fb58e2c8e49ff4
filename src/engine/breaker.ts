/** A circuit breaker per connection: while nobody answers there, its jobs wait, and one of them tries now and then. */

/** So many failures in a row open it. */
const FAILURES = 3
const FIRST_PAUSE_MS = 5_000
const LONGEST_PAUSE_MS = 300_000

interface Circuit {
  readonly failures: number
  /** Closed to all before then; afterwards one may try. */
  readonly openUntil: number
}

export class Breaker {
  readonly #circuits = new Map<string, Circuit>()

  /** From when on work with these connections may be tried. */
  readyAt(connections: readonly string[]): number {
    return Math.max(0, ...connections.map((name) => this.#circuits.get(name)?.openUntil ?? 0))
  }

  /** Keeps others away while one tries: as long as nothing is known, it stays as open as it was. */
  enter(connections: readonly string[], nowMs: number): void {
    for (const name of connections) {
      const circuit = this.#circuits.get(name)
      if (circuit !== undefined && circuit.failures >= FAILURES)
        this.#circuits.set(name, { ...circuit, openUntil: nowMs + pauseMs(circuit.failures) })
    }
  }

  /** Returns until when the connection is left alone; null: work with it goes on. */
  failed(connection: string, nowMs: number): number | null {
    const failures = (this.#circuits.get(connection)?.failures ?? 0) + 1
    const openUntil = failures < FAILURES ? 0 : nowMs + pauseMs(failures)
    this.#circuits.set(connection, { failures, openUntil })
    return openUntil === 0 ? null : openUntil
  }

  /** Returns whether it had been left alone. */
  succeeded(connection: string): boolean {
    const circuit = this.#circuits.get(connection)
    this.#circuits.delete(connection)
    return circuit !== undefined && circuit.failures >= FAILURES
  }
}

function pauseMs(failures: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - FAILURES))
}
