/** The definition of a two-way sync, as the engine gets it: complete and validated. */

import type { Schedule } from './schedule.ts'
import type { Steps } from './step.ts'
import type { Address, BatchLimits, Guard, Sync } from './sync.ts'
import type { SyncId } from './sync-id.ts'
import type { Type, Value } from './value.ts'

export type SideName = 'left' | 'right'
export const sideNames: readonly SideName[] = ['left', 'right']

export function otherSide(side: SideName): SideName {
  return side === 'left' ? 'right' : 'left'
}

/** Which way changes flow. One way into a table that others write to is `left-to-right`: it never touches rows that are not paired. */
export type Direction = 'both' | 'left-to-right' | 'right-to-left'

/** What a rule function returns to leave the decision to a person. */
export const ask: unique symbol = Symbol.for('syncline.ask')

/** Decides one field that both sides changed. Gets and returns values in the left side's form; NULL as base: none is known. */
export type RuleFunction = (base: Value, left: Value, right: Value) => unknown
export type Rule = SideName | 'newest' | 'ask' | RuleFunction

/** One field that both sides hold. */
export interface PairField {
  /** What people and conflicts call it. */
  readonly name: string
  /** Field names per side. */
  readonly left: string
  readonly right: string
  /** The type values pass through, where the sides' types differ. Null: the left side's. */
  readonly type: Type | null
  /** From one side's value to the other's. Null: converted by type. */
  readonly toRight: ((value: Value) => unknown) | null
  readonly toLeft: ((value: Value) => unknown) | null
  readonly direction: Direction
  /** An edit on the side that a one-way field only flows to. */
  readonly edits: 'revert' | 'ignore'
  /** Null: the sync's. */
  readonly onConflict: Rule | null
  /** The two-way sync through whose pairs this key is translated. */
  readonly references: SyncId | null
}

/** What pairs rows met for the first time. */
export interface Match {
  /** A field of the sync. */
  readonly field: string
  /** Values that mean the same become the same text. Null: the value itself. */
  readonly by: ((value: Value) => unknown) | null
}

/** A sync between two collections that people edit on both sides. */
export interface TwoWaySync {
  readonly id: SyncId
  readonly left: Address
  readonly right: Address
  /** Empty: nothing pairs rows but their being inserted by this sync. */
  readonly match: readonly Match[]
  /** Null: every field that both sides have under one name. */
  readonly fields: readonly PairField[] | null
  readonly direction: Direction
  /** Which side callers mean by local, the other being remote. Absent: left. */
  readonly local?: 'left' | 'right'
  readonly onConflict: Rule
  readonly onDeleteConflict: 'keep' | 'delete' | 'ask'
  readonly deletes: 'propagate' | 'keep'
  /** Fields that say when a row was last changed, for `newest`. */
  readonly stamp: { readonly left: StampField; readonly right: StampField } | null
  /** Fields that identify a row, where a side declares none or another is wanted. */
  readonly key: { readonly left: readonly string[] | null; readonly right: readonly string[] | null }
  readonly guard: Guard
  /** What is kept of the rows as both sides last agreed: their values, or a hash per field. */
  readonly bases: 'values' | 'hash'
  readonly batch: BatchLimits
  /** How long writes are kept in the journal, in days. */
  readonly journalDays: number
  readonly schedule: Schedule
  /** How long a run of the service may take. Absent: as long as it takes. */
  readonly timeoutMs?: number
  /** Whose it is: keys of the API that are bound to a project see theirs only. Absent: nobody's in particular. */
  readonly project?: string
  /** Absent: none. */
  readonly steps?: Steps
  /** Syncs whose references lead back to this one: their rows are inserted without the reference, and patched later. */
  readonly cycle: readonly SyncId[]
}

export const twoWayDefaults = { batchRows: 1000, journalDays: 30 } as const

/** How a rule is called in conflicts and the journal. */
export function ruleName(rule: Rule): string {
  return typeof rule === 'function' ? 'function' : rule
}

/** A sync of either path. */
export type AnySync = Sync | TwoWaySync

export function isTwoWay(sync: AnySync): sync is TwoWaySync {
  return 'left' in sync
}

/** Both sides' collections, left first. */
export function placesOf(sync: AnySync): readonly [Address, Address] {
  return isTwoWay(sync) ? [sync.left, sync.right] : [sync.from, sync.to]
}

/** How a stamp is to be read, where its type does not say so. */
export const stampForms = ['utc', 'seconds', 'milliseconds', 'microseconds', 'julian-days', 'version'] as const
export type StampForm = (typeof stampForms)[number]

/** The field that says when a row of a side was last changed. Null form: its type says how it is read. */
export interface StampField {
  readonly field: string
  readonly as: StampForm | null
}
