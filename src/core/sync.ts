/** The definition of a sync, as the engine gets it: complete, validated, one collection on each side. */
import type { Where } from './filter.ts'
import type { Schedule } from './schedule.ts'
import type { Steps } from './step.ts'
import type { SyncId } from './sync-id.ts'
import type { Row, Type, Value } from './value.ts'

/** A collection of a connection. */
export interface Address {
  readonly connection: string
  /** As its connector spells it: `public.orders`. Null on the target side: named after the source. */
  readonly collection: string
}

/** How a target field gets its value. */
export type FieldRule =
  | { readonly kind: 'from'; readonly from: string; readonly type?: Type }
  | {
      readonly kind: 'compute'
      /** Pure. Gets the source row by field name. */
      readonly compute: (row: Readonly<Record<string, Value>>) => unknown
      readonly type: Type
      /** Counts into the fingerprint: raise it when the function's meaning changes. */
      readonly version: string | number | null
    }

export type Mode = 'auto' | 'full' | 'incremental'
export type Deletes = 'propagate' | 'keep' | 'mark'

/** Deletions beyond both limits are held until a person releases them. */
export interface Guard {
  /** Rows. */
  readonly maxDeletes: number
  /** Share of the target's rows, 0 to 1. */
  readonly maxDeleteShare: number
}

/** How much goes into one target transaction, at most. */
export interface BatchLimits {
  readonly rows: number
  readonly bytes: number
}

/** A one-way sync of one collection into one collection that it owns (or shares, with `adopt`). */
export interface Sync {
  readonly id: SyncId
  readonly from: Address
  readonly to: Address
  /** Target field → rule, in target order. Null: every source field under its own name. */
  readonly fields: ReadonlyMap<string, FieldRule> | null
  readonly where: Where | null
  /** Source fields that identify a row, where the source declares none or another is wanted. */
  readonly key: readonly string[] | null
  /** The user's explicit choice of a cursor field. */
  readonly cursor: string | null
  readonly mode: Mode
  readonly deletes: Deletes
  readonly guard: Guard
  readonly batch: BatchLimits
  /** Take over an existing target table; rows not written by this sync are never deleted. */
  readonly adopt: boolean
  /** When it runs by itself. */
  readonly schedule: Schedule
  /** How long a run of the service may take. Absent: as long as it takes. */
  readonly timeoutMs?: number
  /** Whose it is: keys of the API that are bound to a project see theirs only. Absent: nobody's in particular. */
  readonly project?: string
  /** Absent: none. */
  readonly steps?: Steps
}

export const defaults = {
  guard: { maxDeletes: 10, maxDeleteShare: 0.2 },
  batch: { rows: 50_000, bytes: 8 * 1024 * 1024 },
  schedule: { kind: 'continuous', everyMs: 2000 },
} as const satisfies { guard: Guard; batch: BatchLimits; schedule: Schedule }

/** Of syncs whose rows a function lists, unless they say otherwise: it may wait for something that never comes. */
export const HANDLER_TIMEOUT_MS = 3_600_000

/** A row that one side could not give or the other not hold. Holds no values but the key. */
export interface Rejection {
  readonly key: Row
  readonly code: string
  readonly message: string
}
