/** The contract for how often systems are asked by all processes together. */

/** Absent in a store that one process has to itself: that counts in memory. */
export interface LimitStore {
  /** Takes a turn under a name of its own; until it is given back it counts as one of those at the same time. */
  take(connection: string, turn: string, limits: SharedLimits): Promise<TurnAnswer>
  /** Gives a turn back. One whose process died is taken back after half a minute. */
  free(turn: string): Promise<void>
  /** Nobody gets a turn for so long. */
  pause(connection: string, ms: number): Promise<void>
  /**
   * Tells the others what calls this process makes, in place of what it told before, and hears how these connections stand in all processes
   * together, in their order. What a process tells counts for five seconds.
   */
  exchange(calls: readonly Calls[], connections: readonly string[]): Promise<readonly SharedState[]>
}

export interface SharedLimits {
  readonly perSecond?: number
  readonly perMinute?: number
  readonly concurrent?: number
}

export type TurnAnswer =
  | { readonly kind: 'taken' }
  /** There may be one after `ms`. `paused`: the system asked to be left alone. */
  | { readonly kind: 'wait'; readonly ms: number; readonly paused: boolean }

/** The calls of a connection. */
export interface Calls {
  readonly connection: string
  /** Those that are being made. */
  readonly active: number
  /** Those that wait for their turn. */
  readonly waiting: number
}

/** How a connection stands in all processes. */
export interface SharedState extends Calls {
  /** How long nobody gets a turn; null: the system did not ask for that. */
  readonly pausedMs: number | null
}
