/** The contract for which connections do not answer, as all processes together know it. */

/** Absent in a store that one process has to itself: that remembers by itself. */
export interface CircuitStore {
  /** Those of connections that failed and have not succeeded since. */
  list(): Promise<readonly Circuit[]>
  /**
   * Puts `next` in the place of what a connection's circuit was seen to be; null: none, no failure. False, and nothing is written: it is
   * another by now. Of several who saw the same, one is told true.
   */
  replace(connection: string, seen: CircuitState | null, next: CircuitState | null): Promise<boolean>
}

export interface CircuitState {
  /** In a row. */
  readonly failures: number
  /** Left alone before then; milliseconds since 1970. */
  readonly openUntil: number
}

export interface Circuit extends CircuitState {
  readonly connection: string
}
