/** The contract for how often systems are asked by all processes together. */

/** Absent in a store that one process has to itself: that counts in memory. */
export interface LimitStore {
  /** Takes a turn under a name of its own; until it is given back it counts as one of those at the same time. */
  take(connection: string, turn: string, limits: SharedLimits): Promise<TurnAnswer>
  /** Gives a turn back. One whose process died is taken back after half a minute. */
  free(turn: string): Promise<void>
  /** Nobody gets a turn for so long. */
  pause(connection: string, ms: number): Promise<void>
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
