/**
 * What a deletion takes along. A database deletes or changes rows by itself together with one that they refer to (ON DELETE CASCADE, SET
 * NULL, SET DEFAULT). Rows of collections that two-way syncs hold are never taken along: the sync that holds them decides about them first,
 * and the deletion waits. Others go, and the guard counts them.
 */
import { keyText, parseKeyText } from '../../core/key-text.ts'
import type { Address } from '../../core/sync.ts'
import type { SideName } from '../../core/two-way.ts'
import type { PairStore } from '../../store/pairs.ts'
import type { PairSides } from './pair-sides.ts'

/** Collections of a connection that two-way syncs have pairs of. */
export async function heldCollections(
  pairs: PairStore,
  { connection, collection }: Address,
): Promise<readonly string[]> {
  const places = await pairs.places()
  const there = places.filter((place) => place.connection === connection).map((place) => place.collection)
  return [...new Set([collection, ...there])]
}

/** The collection that holds a deletion back; `kept`: by us, else the system refuses it. */
export interface Waits {
  readonly collection: string
  readonly kept: boolean
}

/** Rows that go or change with rows that are to be deleted on one side. */
export interface TakenAlong {
  /** Of collections that nobody syncs both ways, by name: how many are deleted and how many are changed. */
  readonly others: ReadonlyMap<string, Readonly<Record<'deleted' | 'changed', number>>>
  /** Keys whose deletion waits. */
  readonly waits: ReadonlyMap<string, Waits>
}

const nothing: TakenAlong = { others: new Map(), waits: new Map() }

/** A row of the same collection, and the fields by which it refers to another. */
export interface Referring {
  readonly key: string
  readonly fields: readonly string[]
}

/** `keys`: of all rows that are to go. `released`: keys of those that will not refer to them by then. */
export async function takenAlong(
  sides: PairSides,
  side: SideName,
  keys: readonly string[],
  released: (rows: readonly Referring[]) => Promise<ReadonlySet<string>> = async () => new Set(),
): Promise<TakenAlong> {
  const collection = sides.collections[side]
  if (collection.dependents === undefined || keys.length === 0) return nothing
  const held = sides.held[side]
  const own = sides.sync[side].collection
  const dependents = await collection.dependents(keys.map(parseKeyText), held)
  const others = new Map<string, Record<'deleted' | 'changed', number>>()
  const waits = new Map<string, Waits>()
  /** By key of the same collection: who refers to it there. */
  const children = new Map<string, (Referring & { readonly kept: boolean })[]>()
  for (const { at, collection: name, effect, fields, rows, own: ownKeys } of dependents) {
    const key = keys[at] ?? ''
    const kept = effect !== 'refused'
    if (ownKeys.length > 0)
      children.set(key, [...(children.get(key) ?? []), ...ownKeys.map((of) => ({ key: keyText(of), fields, kept }))])
    else if (effect === 'refused') waits.set(key, waits.get(key) ?? { collection: name, kept })
    else if (held.includes(name)) waits.set(key, { collection: name, kept })
    else {
      const counts = others.get(name) ?? { deleted: 0, changed: 0 }
      others.set(name, { ...counts, [effect]: counts[effect] + rows })
    }
  }
  // A row whose own dependents stay, stays; then so do the rows that it depends on.
  const going = new Set(keys)
  const free = await released([...children.values()].flat().filter(({ key }) => !going.has(key)))
  for (let before = -1; before !== waits.size; ) {
    before = waits.size
    for (const [key, of] of children)
      for (const child of of)
        if (waits.has(child.key) || !(going.has(child.key) || free.has(child.key)))
          waits.set(key, waits.get(key) ?? { collection: own, kept: child.kept })
  }
  return { others, waits }
}

export function deletedRows({ others }: TakenAlong): number {
  return [...others.values()].reduce((sum, { deleted }) => sum + deleted, 0)
}
