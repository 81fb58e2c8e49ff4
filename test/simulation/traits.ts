/** What a seed makes of a world: the habits of its systems, how wild it is, and the rules of its sync. */
import { ask, type Rule, type TwoWaySync } from '../../src/core/two-way.ts'
import type { Random } from '../oracle/random.ts'
import { contactsSync, field } from '../two-way/world.ts'

export interface Traits {
  /** What each system makes of a text it stores. */
  readonly habits: { readonly left: (text: string) => string; readonly right: (text: string) => string }
  /** Whether rows have match values. */
  readonly matches: boolean
  /** Chances at each await. */
  readonly edits: number
  readonly crashes: number
  readonly freezes: number
  readonly faults: number
  /** Chance that a lookup is answered by a replica that lags. */
  readonly staleness: number
  /** Chance that somebody looks at the sync. */
  readonly looks: number
  /** Chance that the clock jumps by up to two days, either way. */
  readonly jumps: number
  /** Chance, after a run, that the state or a side is put back to what it was. */
  readonly restores: number
}

const habits: readonly ((text: string) => string)[] = [
  (text) => text,
  (text) => text.trim(),
  (text) => text.toUpperCase(),
  (text) => text.replace(/\.\d+$/, ''),
]

export function drawTraits(random: Random): Traits {
  return {
    habits: { left: random.pick(habits), right: random.pick(habits) },
    matches: random.chance(0.7),
    edits: random.pick([0, 0.02, 0.05, 0.15]),
    crashes: random.pick([0, 0.01, 0.03, 0.06]),
    freezes: random.pick([0, 0, 0.005, 0.02]),
    faults: random.pick([0, 0, 0.01, 0.03]),
    staleness: random.pick([0, 0, 0.1]),
    looks: random.pick([0, 0.003, 0.015]),
    jumps: random.pick([0, 0, 0.003, 0.02]),
    restores: random.pick([0, 0, 0, 0.3]),
  }
}

export function drawSync(random: Random, id: string): TwoWaySync {
  const rules: readonly Rule[] = [
    'left',
    'right',
    'newest',
    'ask',
    (_base, left, right) => (left === null ? right : left),
    (_base, left) => (left === null ? ask : left),
  ]
  return contactsSync({
    id,
    left: { connection: 'left', collection: 'rows' },
    right: { connection: 'right', collection: 'rows' },
    match: [{ field: 'email', by: null }],
    fields: [field('origin'), field('email'), field('a', { onConflict: random.pick(rules) }), field('b')],
    onConflict: random.pick(rules),
    onDeleteConflict: random.pick(['keep', 'delete', 'ask'] as const),
    deletes: random.chance(0.15) ? 'keep' : 'propagate',
    stamp: { left: { field: 'stamp', as: null }, right: { field: 'stamp', as: null } },
    guard: random.chance(0.4) ? { maxDeletes: 10, maxDeleteShare: 0.2 } : { maxDeletes: 1, maxDeleteShare: 0 },
    batch: { rows: random.between(1, 8), bytes: 1_000_000 },
  })
}
